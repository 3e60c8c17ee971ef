"""Killing a key: durable at once, signed with no more, told to everybody, never taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.revocation.head import decode_head
from healthcode.signing.ed25519 import kid
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from province_node.codes.kill_key import KillUseCase, decode_kid
from province_node.keys.keyring import Keyring
from province_node.publishing.next_head import HeadFacts, HeadMaker
from province_node.store.records import Killed, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, PASSPHRASE
from tests.world.people import VALID_IDS


def live_kid(world) -> bytes:
    return kid(world.realm.provinces[HOME].keys[KeyPurpose.LIVE].public)


def use_case(world, keyring: Keyring | None = None) -> KillUseCase:
    return KillUseCase(
        participant=HOME,
        keyring=keyring or world.keyring,
        store=world.store.killing,
        trust=world.trust,
        nudge=lambda: world.nudges.append(3),
        clock=world.clock,
    )


def kill(world, which: bytes, name: str = "kill") -> Killed:
    return use_case(world).kill(which, RevocationReason.KEY_COMPROMISED, world.request(name))


def publish_second_key(world) -> None:
    """A second LIVE key, in a file here and published."""
    key = world.realm.rotate_key(HOME, KeyPurpose.LIVE, "next")
    create_key_file(
        world.folder / "keys" / "live-next.key",
        key,
        PASSPHRASE,
        purpose=KeyPurpose.LIVE,
        realm=world.realm.realm,
        participant=HOME,
        created=NOW,
        not_before=NOW - 86_400,
        not_after=NOW + 86_400,
        cost="development",
    )
    world.keyring.rescan()
    world.realm.publish_province(HOME)
    world.refresh()


def test_a_killed_key_signs_no_more_before_anything_is_published(world):
    """The kill is durable when acknowledged: this node, and this node restarted, sign no more with it."""
    world.issue_one()
    killed = kill(world, live_kid(world))
    assert (killed.codes_out, killed.next_kid, killed.already_killed) == (1, None, False)
    assert 3 in world.nudges
    with pytest.raises(PreconditionError) as caught:
        world.issue_one()
    assert caught.value.reason is Reason.KEY_UNAVAILABLE
    again = Keyring(world.folder / "keys", PASSPHRASE, participant=HOME, realm=world.realm.realm)
    use_case(world, again)
    with pytest.raises(PreconditionError):
        again.signing_key(KeyPurpose.LIVE, world.view.issuers[HOME], NOW)


def test_the_next_published_key_takes_over(world):
    """With a key published ahead, issuing goes on under it at once, and the answer names it."""
    before = live_kid(world)
    publish_second_key(world)
    first = world.issue_one()
    (other,) = {before, live_kid(world)} - {first.kid}
    assert kill(world, first.kid).next_kid == other
    assert world.issue_one().kid == other


def test_the_next_head_names_it_at_once_and_every_head_after(world, tmp_path):
    """A kill is reason enough to publish, and stays in the head with the keys that were killed before."""
    world.store = SqliteNodeStore(tmp_path / "fresh.db")

    def prepared(now: int):
        maker = HeadMaker(HOME, world.realm.realm, store=world.store.publishing, keys=world.keyring.head_keys)
        facts = HeadFacts(now=now, longest_code_seconds=86_400, resign_seconds=300)
        return maker.make(world.view.issuers[HOME], world.keyring.head_key(), facts)

    world.realm.kill(HOME, b"\x01" * 8)
    world.realm.publish_live(HOME)
    world.refresh()
    first = prepared(NOW)
    world.store.publishing.record_publication(first.record)
    assert prepared(NOW + 1) is None
    kill(world, live_kid(world))
    second = prepared(NOW + 1)
    assert second is not None
    world.store.publishing.record_publication(second.record)
    head = decode_head(second.head, realm=world.realm.realm, issuer=HOME)
    assert head.killed_kids == {b"\x01" * 8, live_kid(world)}
    assert prepared(NOW + 2) is None


def test_killing_twice_is_no_error(world):
    """The second answer says that it was killed before; the same request gives the same answer."""
    kill(world, live_kid(world))
    again = kill(world, live_kid(world), "again")
    assert (again.already_killed, again.repeated) == (True, False)
    assert kill(world, live_kid(world), "again") == replace(again, repeated=True)


@pytest.mark.parametrize("which", [KeyPurpose.ANSWER, None])
def test_only_code_keys_of_this_participant_are_killed(world, which):
    """A key for answers, and one that nobody knows, are refused with what to do."""
    bad = b"\x09" * 8 if which is None else kid(world.realm.provinces[HOME].keys[which].public)
    with pytest.raises(InvalidInputError) as caught:
        kill(world, bad)
    assert "kid" in caught.value.fields
    assert world.store.killing.killed_kids() == frozenset()


def test_holders_of_a_key_are_listed_in_pages(world):
    """Each holder with a code of the key that is out is listed once for each presentation, whatever the page size."""
    for number in VALID_IDS[:2]:
        world.issue_one(number=number)
        world.issue_one(number=number)
    ours, after, found = use_case(world), b"", []
    while page := ours.holders(live_kid(world), after, 1):
        found += page
        after = page[-1].holder
    assert len(found) == len({each.holder for each in found}) == 2
    world.clock.at = max(each.expires_at for each in found)
    assert ours.holders(live_kid(world), b"", 10) == []


@pytest.mark.parametrize("text", ["", "0011", "zz" * 8, "0011223344556677 ", "00 11 22 33 44 55 66 77"])
def test_a_kid_has_sixteen_digits(text):
    """Anything else is refused before anything is asked."""
    with pytest.raises(InvalidInputError):
        decode_kid(text)
