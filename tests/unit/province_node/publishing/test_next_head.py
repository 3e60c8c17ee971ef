"""What is in the next head, and when one is due."""

from __future__ import annotations

from healthcode.audit.checkpoint import Checkpoint
from healthcode.errors import UnavailableError
from healthcode.revocation.day import DAY_SECONDS, day_of
from healthcode.revocation.list import decode_list
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.format.metadata_fields import audit_checkpoint_in
from province_node.publishing.next_head import COVER_MARGIN_DAYS, HeadFacts, HeadMaker
from tests.simulator.realm import NOW
from tests.unit.province_node.publishing.heads import PAPER_SECONDS, TODAY, head_of, prepared, publish, revoke
from tests.unit.province_node.world import HOME


def test_a_head_covers_the_longest_code_and_eight_days_more(world, store):
    """covered_to lies COVER_MARGIN_DAYS beyond the last day a code issued now can expire on."""
    head = head_of(world, publish(world, store))
    assert head.covered_to >= day_of(NOW + PAPER_SECONDS) + COVER_MARGIN_DAYS
    assert COVER_MARGIN_DAYS >= 8


def test_versions_follow_what_the_registry_serves(world, store):
    """The first publication after a lost acknowledgement is the served version + 1."""
    head = publish(world, store)
    served = world.view.issuers[HOME].live_version
    assert served is not None
    assert decode_metadata(head.metadata, Targets).signed.version == head.record.version == served + 1


def test_nothing_new_is_not_published_until_it_is_time_to_sign_again(world, store):
    """Without a change, nothing goes out for resign_seconds; then the same head under a new version."""
    first = publish(world, store)
    assert prepared(world, store, NOW + 299) is None
    second = publish(world, store, NOW + 300)
    assert second.head == first.head
    assert second.lists == ()
    assert second.record.version == first.record.version + 1


def test_revocations_stand_in_the_list_of_their_day(world, store):
    """Each day with revocations has one list, named by its hash, with exactly its indices."""
    publish(world, store)
    revoke(store, 7, 3)
    revoke(store, 9, day=TODAY + 2)
    sent = publish(world, store)
    head = head_of(world, sent)
    assert {day: entry.count for day, entry in head.days.items()} == {TODAY: 2, TODAY + 2: 1}
    decoded = decode_list(sent.lists[0], realm=world.realm.realm, issuer=HOME, day=TODAY)
    assert sorted(decoded.bitmap) == [3, 7]


def test_only_changed_lists_travel_and_versions_grow(world, store):
    """A day that did not change keeps its entry and sends nothing; a changed one grows its version."""
    revoke(store, 1)
    revoke(store, 2, day=TODAY + 1)
    before = head_of(world, publish(world, store))
    revoke(store, 3)
    sent = publish(world, store)
    after = head_of(world, sent)
    assert len(sent.lists) == 1
    assert after.days[TODAY + 1] == before.days[TODAY + 1]
    assert (after.days[TODAY].version, after.days[TODAY].count) == (before.days[TODAY].version + 1, 2)
    assert after.version == before.version + 1


def test_a_past_day_leaves_and_the_range_moves_on(world, store):
    """After the day's end and ten minutes its list dies, and the range has moved by a day."""
    revoke(store, 1)
    before = head_of(world, publish(world, store))
    tomorrow = (TODAY + 1) * DAY_SECONDS
    almost = head_of(world, publish(world, store, tomorrow + 599))
    assert TODAY in almost.days
    after = head_of(world, publish(world, store, tomorrow + 600))
    assert TODAY not in after.days
    assert after.covered_from == before.covered_from + 1


def test_killed_keys_stay_killed(world, store):
    """What the trust files say was killed is in every further head."""
    kid = b"12345678"
    world.realm.kill(HOME, kid)
    world.realm.publish_live(HOME)
    world.refresh()
    assert kid in head_of(world, publish(world, store)).killed_kids


def test_a_head_from_the_future_is_replaced_at_once(world, store):
    """It is signed again by the right time, covers today again, and has the lists of the days that it had forgotten."""
    revoke(store, 1)
    publish(world, store)
    ahead = publish(world, store, NOW + 2 * DAY_SECONDS)
    assert head_of(world, ahead).covered_from == TODAY + 2
    revoke(store, 2)
    again = publish(world, store, NOW + 60)
    assert again.record.signed_at == NOW + 60
    assert again.record.version == ahead.record.version + 1
    head = head_of(world, again)
    assert head.covered_from == TODAY
    assert head.days[TODAY].count == 2
    assert sorted(decode_list(again.lists[0], realm=world.realm.realm, issuer=HOME, day=TODAY).bitmap) == [
        1,
        2,
    ]
    assert prepared(world, store, NOW + 61) is None


def test_a_clock_that_was_set_back_signs_no_earlier_than_before(world, store):
    """A revocation goes out all the same, dated like the head before it, which the registry's time does not deny."""
    first = publish(world, store)
    revoke(store, 1)
    facts_now = NOW - 2 * DAY_SECONDS
    second = publish(world, store, facts_now, registry_time=NOW)
    assert second.record.signed_at == first.record.signed_at == NOW
    assert head_of(world, second).covered_from >= head_of(world, first).covered_from
    assert prepared(world, store, facts_now + 60, registry_time=NOW) is None


def test_the_live_metadata_carries_the_audit_checkpoint(world, store):
    """The newest checkpoint goes out with each head; a log that cannot give one does not stop revocations."""
    checkpoint = Checkpoint(b"L" * 16, 256, b"R" * 32)
    given: list[object] = [checkpoint, UnavailableError("the disk is full")]

    def give(now: int) -> Checkpoint:
        assert now == NOW
        found = given.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    maker = HeadMaker(
        HOME, world.realm.realm, store=store.publishing, keys=world.keyring.head_keys, checkpoint=give
    )
    facts = HeadFacts(now=NOW, longest_code_seconds=PAPER_SECONDS, resign_seconds=300)
    made = [maker.make(world.view.issuers[HOME], world.keyring.head_key(), facts) for _ in range(2)]
    found = [audit_checkpoint_in(decode_metadata(each.metadata, Targets).signed) for each in made]
    assert found == [checkpoint, None]
