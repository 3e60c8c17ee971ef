"""Each fault of a node is told with what to do; a sound one is told nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import Reason
from healthcode.signing.purpose import KeyPurpose
from province_node.keys.held_keys import HeldKey, HeldKeys
from province_node.keys.key_files import list_key_infos
from province_node.operations.warnings import head_key_warning, held_warnings, key_warnings, publish_warnings
from province_node.store.publication import Publication, PublishFailure
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME

PUBLISHED = Publication(7, NOW, 1, 2, 5, b"")


@pytest.fixture
def infos(world):
    return [info for _, info in list_key_infos(world.folder / "keys")]


def publishing(publication=PUBLISHED, failure=None, waiting: int = 0, now: int = NOW) -> list[str]:
    return list(publish_warnings(publication, failure, waiting, resign_seconds=300, now=now))


def test_a_sound_node_has_no_warning(world, infos):
    """Keys in their windows, and a head of now."""
    assert list(key_warnings(infos, world.view.issuers[HOME], NOW)) == []
    assert publishing() == []
    assert publishing(None) == [], "a node that has published nothing yet, and does not fail"


def test_a_head_key_that_is_not_published_is_told(world, infos):
    """As after the restore of a backup from before its rotation: what it means, and both ways out."""
    issuer = replace(world.view.issuers[HOME], live_keys=frozenset({b"k" * 32}))
    said = head_key_warning(infos, issuer)
    assert said is not None
    assert "newer backup" in said
    assert "province-node request" in said
    assert said in list(key_warnings(infos, issuer, NOW))
    assert head_key_warning(infos, None) is None


def test_a_lost_head_key_is_told_as_lost(world, infos):
    """The cause is the file that is missing, not an old backup; and the command that makes another."""
    issuer = world.view.issuers[HOME]
    said = head_key_warning([info for info in infos if info.purpose is not KeyPurpose.HEAD], issuer)
    assert said is not None
    assert "the HEAD key is missing" in said
    assert "keys rotate --purpose HEAD" in said
    assert "publish --bundle" in said
    assert "before the last" not in said


def test_no_key_in_its_window_is_told_with_the_command_that_mends_it(world, infos):
    """LIVE keys that all ended, or that were killed: NOTHING can be issued, and how to go on."""
    issuer = world.view.issuers[HOME]
    ended = {
        kid: replace(key, not_after=NOW) if key.purpose is KeyPurpose.LIVE else key
        for kid, key in issuer.keys.items()
    }
    (said,) = key_warnings(infos, replace(issuer, keys=ended), NOW)
    assert "NO LIVE CODE CAN BE ISSUED" in said
    assert "keys rotate --purpose LIVE" in said
    (kid,) = [kid for kid, key in issuer.keys.items() if key.purpose is KeyPurpose.LIVE]
    world.realm.kill(HOME, kid)
    world.realm.publish_live(HOME)
    world.refresh()
    assert list(key_warnings(infos, world.view.issuers[HOME], NOW)) == [said]
    assert list(key_warnings(infos, replace(issuer, keys=ended, signs_until=NOW), NOW)) == [], "it has left"


def test_a_key_that_begins_later_is_named_with_its_time(world, infos):
    """Published ahead and not begun: the warning says from when codes can be issued again."""
    issuer = world.view.issuers[HOME]
    later = {
        kid: replace(key, not_before=NOW + 3600) if key.purpose is KeyPurpose.PAPER else key
        for kid, key in issuer.keys.items()
    }
    (said,) = key_warnings(infos, replace(issuer, keys=later), NOW)
    assert "The next begins " in said


def test_revocations_that_do_not_go_out_are_told_with_the_reason(world):
    """What failed and since when, how many wait; and a head that is late without any failure."""
    failure = PublishFailure(Reason.SERVICE_UNAVAILABLE, "the registry is out of reach", NOW - 60)
    (said,) = publishing(failure=failure, waiting=3)
    assert "SERVICE_UNAVAILABLE" in said
    assert "3 revocations are recorded here and not published" in said
    assert publishing(now=NOW + 900) == []
    (late,) = publishing(now=NOW + 901)
    assert "one is due each 300 s" in late


def test_a_key_that_the_running_node_does_not_hold_is_told() -> None:
    """With the reason that the process gave; none while it runs not, or has not told yet."""
    held = HeldKeys(
        started=NOW, opened={"live.key": HeldKey(kid="0a", since=NOW)}, unreadable={"paper.key": "no right"}
    )
    files = [("live.key", "0a"), ("paper.key", "0b"), ("answer.key", "0c")]
    unreadable, not_looked = held_warnings(files, held)
    assert "key 0b is in the folder (paper.key)" in unreadable
    assert "no right" in unreadable
    assert "every ten seconds" in not_looked
    (lost,) = held_warnings(
        [("live.key", None)], held.model_copy(update={"unreadable": {"live.key": "no right"}})
    )
    assert "key 0a is held in memory and signs on" in lost
    assert "before any restart" in lost
    assert list(held_warnings(files, None)) == list(held_warnings(files, HeldKeys(started=NOW))) == []
