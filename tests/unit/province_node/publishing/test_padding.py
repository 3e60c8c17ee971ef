"""A list's size is no count: padding is drawn once, from what no code has, and bounded."""

from __future__ import annotations

import pytest

from healthcode.revocation.day import day_of
from healthcode.revocation.index import ISSUABLE, IndexScheme
from province_node.publishing.padding import Padding
from province_node.store.publication import Publication
from province_node.store.records import Revocation, RevocationReason
from tests.simulator.realm import NOW

TODAY = day_of(NOW)


def revoke(world, *indices: int, day: int = TODAY) -> None:
    world.store.revoking.record_revocations(
        [Revocation(day, index) for index in indices],
        RevocationReason.FRAUD,
        world.request(f"{indices[0]} {day} {len(indices)}"),
        NOW,
    )


def padding(world, draw=lambda below: below - 1) -> Padding:
    return Padding(world.store.padding, world.keyring.index_secret(), draw=draw)


def acknowledge(world) -> None:
    through = world.store.publishing.last_revocation()
    world.store.publishing.record_publication(Publication(2, NOW, TODAY, TODAY + 20, through, b""))


def entries(world, day: int = TODAY) -> list[int]:
    return world.store.publishing.revoked_indices(day, world.store.publishing.last_revocation())


def test_padding_is_of_the_sixteenth_that_no_code_has(world):
    """Every entry beside the revocations comes from a counter that is never issued."""
    revoke(world, 7, 9)
    assert padding(world).pad(NOW) == 15
    added = set(entries(world)) - {7, 9}
    scheme = IndexScheme(world.keyring.index_secret(), 0, TODAY)
    assert len(added) == 15
    assert all(scheme.counter(index) >= ISSUABLE for index in added)
    assert world.store.counts(NOW)["revocations"] == 2


def test_what_was_padded_is_not_padded_again(world):
    """An attempt to publish that failed draws nothing more when it is tried again."""
    revoke(world, 7)
    ours = padding(world)
    assert ours.pad(NOW) == 15
    assert ours.pad(NOW) == 0
    acknowledge(world)
    assert ours.pad(NOW) == 0
    revoke(world, 8)
    assert ours.pad(NOW) == 15


def test_padding_stays_within_its_bound(world):
    """A day has at most 256 and a sixteenth of its revocations, however often it is published."""
    ours = padding(world)
    for number in range(40):
        revoke(world, number)
        ours.pad(NOW)
        acknowledge(world)
    padded = len(entries(world)) - 40
    assert 256 <= padded <= 256 + 40 // 16


def test_the_number_drawn_is_not_told_by_the_number_revoked(world):
    """One revocation may come with none or with fifteen beside it."""
    revoke(world, 1, day=TODAY)
    revoke(world, 1, day=TODAY + 1)
    drawn = iter((0, 15))
    padding(world, lambda _below: next(drawn)).pad(NOW)
    assert [len(entries(world, TODAY + day)) for day in (0, 1)] == [1, 16]


@pytest.mark.parametrize("day", [TODAY + 1])
def test_a_day_without_revocations_is_not_padded(world, day):
    """There is no list to pad."""
    revoke(world, 1)
    padding(world).pad(NOW)
    assert entries(world, day) == []
