"""What every store promises of revoking, killing keys and padding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

from healthcode.wire.claims import Presentation
from province_node.store.publication import PaddingState
from province_node.store.records import HeldCode, IssuedUnder, Killed, Revocation, RevocationReason, Revoked
from tests.contract.store.stores import DAY, HOLDER, KID, NOW, RED, issue, request, revoke

OTHER = b"o" * 32


def test_revoking_counts_each_code_once(store):
    """Newly and already revoked are told apart; a repeated request repeats its answer."""
    assert revoke(store, 1, 2, name="a") == Revoked(2, 0)
    assert revoke(store, 2, 3, name="b") == Revoked(1, 1)
    assert revoke(store, 2, 3, name="b") == Revoked(1, 1, repeated=True)
    assert store.revoking.find_revoked(request("b"), NOW) == Revoked(1, 1, repeated=True)
    assert store.revoking.find_revoked(request("c"), NOW) is None
    assert store.publishing.revoked_indices(DAY, store.publishing.last_revocation()) == [1, 2, 3]
    assert store.revoking.count_codes([Revocation(DAY, 3), Revocation(DAY, 4)]) == Revoked(1, 1)


def test_codes_are_found_by_holder_and_by_how_they_were_issued(store):
    """The counts before are those of the revocation, and a repeat revokes nothing that came out since."""
    issue(store, 1, name="1")
    issue(store, 2, name="2", holder=OTHER, statement=RED)
    assert store.revoking.codes_of_holders([OTHER], NOW) == [Revocation(DAY, 2)]
    assert store.revoking.codes_of_holders([OTHER], NOW + 600) == []
    selection = IssuedUnder(NOW, NOW + 1, level_reason="A4", issued_by="caller")
    assert store.revoking.count_issued_under(selection, NOW) == Revoked(1, 0)
    args = (selection, RevocationReason.ISSUED_IN_ERROR, request("by issue"), NOW)
    assert store.revoking.revoke_issued_under(*args) == Revoked(1, 0)
    issue(store, 3, name="3", holder=OTHER, statement=RED)
    assert store.revoking.revoke_issued_under(*args) == Revoked(1, 0, repeated=True)
    assert store.revoking.count_issued_under(selection, NOW) == Revoked(1, 1)
    assert [store.answering.code_state(DAY, index).revoked for index in (1, 2, 3)] == [False, True, False]


def test_a_kill_is_once_and_for_all(store):
    """The answer keeps its counts and the next key; a second kill says that it was killed before."""
    issue(store, 1, 2)
    kill = (KID, RevocationReason.KEY_COMPROMISED)
    killed = store.killing.kill_key(*kill, request("k"), b"nextnext", NOW)
    assert killed == Killed(2, already_killed=False, next_kid=b"nextnext")
    assert store.killing.find_killed(request("k"), NOW) == replace(killed, repeated=True)
    assert store.killing.kill_key(*kill, request("k"), None, NOW) == replace(killed, repeated=True)
    second = store.killing.kill_key(*kill, request("l"), None, NOW)
    assert second == Killed(2, already_killed=True, next_kid=None)
    assert store.killing.find_killed(request("l"), NOW) == replace(second, repeated=True)


def test_holders_of_a_key_come_in_pages(store):
    """A page ends between holders, in order of pseudonyms."""
    issue(store, 1, 2, name="1")
    issue(store, 3, name="2", holder=OTHER)
    first = store.killing.codes_under(KID, b"", 1, NOW)
    assert first == [HeldCode(HOLDER, Presentation.LIVE, NOW + 600)]
    rest = store.killing.codes_under(None, first[-1].holder, 9, NOW)
    assert [each.holder for each in rest] == [OTHER]
    assert store.killing.codes_under(b"other---", b"", 9, NOW) == []


def test_of_two_that_revoke_under_one_id_one_counts(store, open_again):
    """Both hear the counts of the one that came first."""
    other = open_again()
    barrier = Barrier(2)

    def go(which):
        barrier.wait()
        return revoke(which, *range(50), name="race")

    with ThreadPoolExecutor(2) as pool:
        heard = list(pool.map(go, (store, other)))
    assert sorted(each.repeated for each in heard) == [False, True]
    assert {(each.newly, each.already) for each in heard} == {(50, 0)}


def test_padding_is_added_only_to_the_state_that_was_seen(store, open_again):
    """Who comes second with the same drawing adds nothing, reads again and goes on after the first."""
    revoke(store, 1, 2)
    assert store.padding.unpadded_days(0) == {DAY: 2}
    seen = store.padding.padding_state(DAY)
    assert seen == PaddingState(series=0, used=0, revoked=2, padded=0)
    other = open_again()
    assert other.padding.add_padding(DAY, seen, [100, 101, 102], NOW)
    assert not store.padding.add_padding(DAY, seen, [100, 101], NOW)
    again = store.padding.padding_state(DAY)
    assert again == PaddingState(series=0, used=3, revoked=2, padded=3)
    assert store.padding.unpadded_days(0) == {}
    assert store.counts(NOW)["revocations"] == 2
    # a series that was opened meanwhile is another state, too
    other.publishing.take_over({}, (), 1, DAY, NOW, seen_version=1)
    assert not store.padding.add_padding(DAY, again, [103], NOW)
    assert store.padding.padding_state(DAY) == PaddingState(series=1, used=0, revoked=2, padded=3)


def test_padding_by_many_is_drawn_once(store, open_again):
    """Whatever the order of the writers, every drawing of a series is used by one of them alone."""
    stores = (store, open_again())
    revoke(store, 1)

    def pad(which: int) -> None:
        done = 0
        while done < 10:
            seen = stores[which].padding.padding_state(DAY)
            done += stores[which].padding.add_padding(DAY, seen, [1000 + seen.used], NOW)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(pad, (0, 1)))
    indices = store.publishing.revoked_indices(DAY, store.publishing.last_revocation())
    assert indices == [1, *range(1000, 1020)]
