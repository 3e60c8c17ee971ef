"""Folders are used again, and still each generation is whole, by itself, and nobody's neighbour shares a file with it."""

from __future__ import annotations

import json
import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from healthcode.errors import TrustError
from healthcode.trust.client import TrustClient
from healthcode.trust.disk.read import current_generation, generation_numbers, read_generation
from healthcode.trust.disk.write import KEPT
from healthcode.trust.store import TrustStore
from tests.simulator.realm import SimulatedRealm

POINTS = ("files.written", "generation.synced", "current.swapped")


class PowerCut(BaseException):
    """Nothing of ours catches it."""


def advance(client: TrustClient, realm: SimulatedRealm, code: str = "31") -> int:
    realm.revoke(code, realm.versions[f"province-{code}-live"], realm.now + 3600)
    realm.publish_live(code)
    realm.publish()
    return client.refresh(realm.now).generation


def inodes(folder: Path, number: int) -> dict[str, int]:
    there = folder / "generations" / str(number)
    return {str(path.relative_to(there)): path.stat().st_ino for path in there.rglob("*") if path.is_file()}


def assert_sound(folder: Path, *, finished: int = KEPT + 1) -> None:
    """Each finished generation holds what its manifest lists and no more, and shares nothing with the next."""
    current = current_generation(folder)
    assert current is not None
    numbers = [number for number in generation_numbers(folder) if number <= current][:finished]
    root = (folder / "root.json").read_bytes()
    for number in numbers:
        read_generation(folder, number, root)
        manifest = json.loads((folder / "generations" / str(number) / "manifest.json").read_bytes())
        assert inodes(folder, number).keys() == {
            *manifest["files"],
            "manifest.json",
            "metadata/timestamp.json",
        }
    for newer, older in pairwise(numbers):
        assert not set(inodes(folder, newer).values()) & set(inodes(folder, older).values())


def test_whatever_changes_and_is_damaged_every_generation_is_whole(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """A walk of many refreshes: heads, provinces, areas, targets; and a damaged file now and then."""
    chance = random.Random(7)
    for step in range(24):
        realm.now += 60
        what = chance.choice(["head", "head", "head", "province", "areas", "targets", "join"])
        if what == "province":
            realm.publish_province(chance.choice(["00", "11", "31"]))
        elif what == "areas":
            realm.publish_areas({})
        elif what == "targets":
            realm.publish_targets()
        elif what == "join" and step > 8:
            realm.add_province("44") if "44" not in realm.provinces else None
        realm.publish()
        advance(client, realm, chance.choice(["00", "11", "31"]))
        assert_sound(folder)
        assert TrustStore.open(folder).warnings == ()
        if chance.random() < 0.15:
            numbers = generation_numbers(folder)
            # not the one that serves: that is healed from memory, by whole generations
            victim = chance.choice(numbers[1:] or numbers)
            place = chance.choice(sorted(set(inodes(folder, victim)) - {"manifest.json"}))
            (folder / "generations" / str(victim) / place).write_bytes(b"damaged")
            for _ in range(KEPT + 1):
                advance(client, realm)
                assert TrustStore.open(folder).warnings == ()
            assert_sound(folder)


def test_few_files_are_made_where_little_changed(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """In the steady state a new generation keeps the inodes of the one four before."""
    for _ in range(8):
        number = advance(client, realm)
    before = inodes(folder, number - KEPT)
    advance(client, realm)
    after = inodes(folder, number + 1)
    changed = {place for place, inode in after.items() if before.get(place) != inode}
    assert changed <= {
        "manifest.json",
        "metadata/timestamp.json",
        "metadata/snapshot.json",
        "metadata/province-31-live.json",
        *(place for place in after if place.startswith("lists/") or place.endswith("head")),
    }


@pytest.mark.parametrize("point", POINTS)
def test_a_power_cut_while_a_folder_is_used_again(
    client: TrustClient, realm: SimulatedRealm, folder: Path, point: str
) -> None:
    """What serves is the old or the new generation, with whole ones behind it; the next refresh goes on."""
    for _ in range(6):
        number = advance(client, realm)

    def cut(step: str) -> None:
        if step == point:
            raise PowerCut

    with pytest.raises(PowerCut):
        advance(TrustClient(folder, realm, checkpoint=cut), realm)
    store = TrustStore.open(folder)
    assert store.warnings == ()
    assert store.generation == number + (point == "current.swapped")
    assert_sound(folder, finished=KEPT)
    again = TrustClient(folder, realm)
    again.refresh(realm.now)
    for _ in range(3):
        advance(again, realm)
    assert_sound(folder)
    assert len(generation_numbers(folder)) == KEPT + 1


def test_a_full_disk_while_a_folder_is_used_again(
    client: TrustClient, realm: SimulatedRealm, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three that are kept stay, and the next refresh makes its folder anew."""
    for _ in range(6):
        number = advance(client, realm)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(TrustError, match="No space left"):
            advance(client, realm)
    assert generation_numbers(folder) == [number, number - 1, number - 2]
    assert_sound(folder)
    assert client.refresh(realm.now).generation == number + 1
    assert_sound(folder)
