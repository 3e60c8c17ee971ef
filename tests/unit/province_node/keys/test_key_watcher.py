"""Keys made while the node runs are opened when the trust files name them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from healthcode.errors import Reason
from healthcode.signing.purpose import KeyPurpose
from province_node.keys.key_files import create_online_key
from province_node.keys.key_watcher import KeyWatcher
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, PASSPHRASE, World


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


async def rescanned() -> None:
    """Until the work in threads is done."""
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_a_new_key_is_opened_once_it_is_published(world: World) -> None:
    """The folder is not read again while every published key is open."""
    watcher = KeyWatcher(HOME, world.keyring, world.clock)
    new_head_key(world)
    watcher.look(world.view)
    await rescanned()
    assert count_heads(world) == 1


async def test_a_published_key_that_is_not_open_has_the_folder_read_again(world: World) -> None:
    """The trust files name a live key that this process has not opened."""
    new_head_key(world)
    issuer = replace(world.view.issuers[HOME], live_keys=frozenset({b"k" * 32}))
    KeyWatcher(HOME, world.keyring, world.clock).look(replace(world.view, issuers={HOME: issuer}))
    await rescanned()
    assert count_heads(world) == 2


async def test_our_files_held_back_have_the_folder_read_again(world: World) -> None:
    """They stay refused until the new live key signs, so it must be open."""
    new_head_key(world)
    held_back = replace(world.view, held_back={HOME: Reason.SIGNATURE_THRESHOLD})
    KeyWatcher(HOME, world.keyring, world.clock).look(held_back)
    await rescanned()
    assert count_heads(world) == 2
