"""Keys made while the node runs are opened; and it is told which keys the process has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.errors import Reason, UnavailableError
from healthcode.signing.purpose import KeyPurpose
from province_node.keys.held_keys import HeldKeys
from province_node.keys.key_files import create_online_key
from province_node.keys.key_watcher import KeyWatcher
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, PASSPHRASE, World
from tests.world.log import json_log
from tests.world.waiting import until


def new_head_key(world: World) -> Path:
    return create_online_key(
        world.folder / "keys",
        KeyPurpose.HEAD,
        PASSPHRASE,
        participant=HOME,
        realm=world.realm.realm,
        now=NOW + 1,
        development=True,
    )


def count_heads(world: World) -> int:
    return len(world.keyring.signers(KeyPurpose.HEAD))


@pytest.fixture
async def watched(world: World) -> AsyncIterator[tuple[KeyWatcher, list[HeldKeys]]]:
    """A running watcher that has looked once, and what it has told."""
    told: list[HeldKeys] = []
    watcher = KeyWatcher(HOME, world.keyring, world.clock, tell=told.append)
    task = asyncio.create_task(watcher.run())
    yield watcher, told
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


Watched = tuple[KeyWatcher, list[HeldKeys]]


async def test_what_a_start_opened_is_told_at_once(world: World, watched: Watched) -> None:
    """Each key by the name of its file, the INDEX secret without a kid."""
    (told,) = watched[1]
    assert told.started == world.clock.now()
    assert {name: key.kid is None for name, key in told.opened.items()} == {
        path.name: path.stem == "index" for path in (world.folder / "keys").glob("*.key")
    }
    assert told.unreadable == {}


async def test_a_published_key_that_is_not_open_has_the_folder_read_again(
    world: World, watched: Watched
) -> None:
    """The trust files name a live key that this process has not opened; and the change is told."""
    watcher, told = watched
    await asyncio.sleep(0.1)  # the look of the start is over
    path = new_head_key(world)
    issuer = replace(world.view.issuers[HOME], live_keys=frozenset({b"k" * 32}))
    watcher.look(replace(world.view, issuers={HOME: issuer}))
    await until(lambda: path.name in told[-1].opened)
    assert count_heads(world) == 2


async def test_our_files_held_back_have_the_folder_read_again(world: World, watched: Watched) -> None:
    """They stay refused until the new live key signs, so it must be open."""
    watcher, _ = watched
    await asyncio.sleep(0.1)
    new_head_key(world)
    watcher.look(replace(world.view, held_back={HOME: Reason.SIGNATURE_THRESHOLD}))
    await until(lambda: count_heads(world) == 2)


async def test_a_file_that_cannot_be_opened_leaves_the_others(world: World) -> None:
    """It is told with its reason and logged once; when it can be opened, it is opened."""
    good, bad = new_head_key(world), world.folder / "keys" / "a-first.key"
    bad.mkdir()  # as a process sees a file that it may not read; tests may run as root
    told: list[HeldKeys] = []
    with json_log() as log:
        watcher = KeyWatcher(HOME, world.keyring, world.clock, tell=told.append)
        task = asyncio.create_task(watcher.run())
        await until(lambda: bool(told[-1].unreadable))
        watcher.look(replace(world.view, held_back={HOME: Reason.SIGNATURE_THRESHOLD}))
        await asyncio.sleep(0.1)
    assert good.name in told[-1].opened
    assert list(told[-1].unreadable) == [bad.name]
    assert log.getvalue().count('"keys_not_opened"') == 1
    bad.rmdir()
    watcher.look(replace(world.view, held_back={HOME: Reason.SIGNATURE_THRESHOLD}))
    await until(lambda: not told[-1].unreadable)
    task.cancel()


async def test_what_could_not_be_told_is_told_with_the_next_look(world: World) -> None:
    """As while the disk is full."""
    told: list[HeldKeys] = []

    def tell(held: HeldKeys) -> None:
        told.append(held)
        if len(told) == 1:
            raise UnavailableError("no room")

    task = asyncio.create_task(KeyWatcher(HOME, world.keyring, world.clock, tell=tell).run())
    await until(lambda: len(told) == 2)
    assert told[0] == told[1]
    task.cancel()
