"""Heads and states: what is revoked, what is covered, and that nothing is ever taken back."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from healthcode.errors import DecodeError, InvalidInputError, Reason, TrustError
from healthcode.revocation.day import DAY_SECONDS, day_end, day_of, is_dead
from healthcode.revocation.head import DayEntry, DeltaEntry, Head, SealingKey, decode_head, encode_head
from healthcode.revocation.list import RevocationList, encode_list
from healthcode.revocation.state import RevocationState, RevocationStatus, build_state, check_growth
from healthcode.wire import cbor

REALM, ISSUER, DAY = "test-heads", "31", 20_833
KID, OTHER_KID = b"kid-0001", b"kid-0002"


def make(
    days: dict[int, list[int]], *, version: int = 1, killed: frozenset[bytes] = frozenset()
) -> RevocationState:
    files = {day: encode_list(RevocationList(REALM, ISSUER, day, indices)) for day, indices in days.items()}
    entries = {
        day: DayEntry(version, len(days[day]), hashlib.sha256(data).digest(), len(data))
        for day, data in files.items()
    }
    by_hash = {entries[day].full_sha256: files[day] for day in days}
    head = Head(version, REALM, ISSUER, DAY - 1, DAY + 9, entries, killed)
    return build_state(head, lambda entry: by_hash[entry.full_sha256])


def test_a_head_comes_back_as_it_was() -> None:
    """Encoding and decoding lose nothing, deltas and sealing keys included."""
    delta = DeltaEntry(2, 4, b"d" * 32, 60)
    head = Head(
        7,
        REALM,
        ISSUER,
        DAY,
        DAY + 20,
        {DAY: DayEntry(3, 9, b"f" * 32, 99, delta), DAY + 2: DayEntry(1, 1, b"g" * 32, 51)},
        frozenset({KID, OTHER_KID}),
        (SealingKey(KID, b"p" * 32, 10, 20),),
    )
    assert decode_head(encode_head(head), realm=REALM, issuer=ISSUER) == head


def fields() -> dict[int, object]:
    entry = [DAY, 1, 2, [b"f" * 32, 60], None]
    return {1: 1, 2: 5, 3: REALM, 4: ISSUER, 5: DAY, 6: DAY + 8, 7: [entry], 8: [KID], 9: []}


def test_what_newer_writers_add_is_passed_over() -> None:
    """Keys above 10 and places after the fifth of a day do not trouble this version."""
    written = fields()
    written[11] = {"more": True}
    written[7][0].append("more")  # type: ignore[index]  # a list in a list
    assert decode_head(cbor.encode(written), realm=REALM, issuer=ISSUER).days[DAY].count == 2


@pytest.mark.parametrize(
    ("key", "value", "detail"),
    [
        (1, 2, "head.format"),
        (1, True, "head.format"),
        (2, 0, "head.version"),
        (3, "cn", "head.realm"),
        (4, "44", "head.issuer"),
        (5, DAY + 9, "head.range"),
        (6, -1, "head.range"),
        (7, [[DAY - 1, 1, 2, [b"f" * 32, 60], None]], "head.day"),
        (7, [[DAY, 1, 0, [b"f" * 32, 60], None]], "head.day"),
        (7, [[DAY, 1, 2**24 + 1, [b"f" * 32, 60], None]], "head.day"),
        (7, [[DAY, 1, 2, [b"f" * 31, 60], None]], "head.list"),
        (7, [[DAY, 1, 2, [b"f" * 32, 2**26 + 1], None]], "head.list"),
        (7, [[DAY, 1, 2, [b"f" * 32, 60], [1, 1, b"d" * 32, 5]]], "head.delta"),
        (7, [[DAY, 2, 2, [b"f" * 32, 60], [1, 3, b"d" * 32, 5]]], "head.delta"),
        (7, [fields()[7][0]] * 2, "head.day"),  # type: ignore[index]  # a list in a list
        (8, [OTHER_KID, KID], "head.kid"),
        (8, [KID, KID], "head.kid"),
        (8, [b"short"], "head.kid"),
        (9, [[KID, b"p", 5, 5]], "head.sealing_key"),
        (9, None, "head.sealing_key"),
    ],
)
def test_every_broken_rule_of_a_head_has_its_own_word(key: int, value: object, detail: str) -> None:
    """Each way of being no head of this issuer is refused and named."""
    with pytest.raises(DecodeError) as caught:
        decode_head(cbor.encode({**fields(), key: value}), realm=REALM, issuer=ISSUER)
    assert caught.value.detail == detail


def test_a_head_lacking_a_key_is_refused() -> None:
    """All nine keys stand in every head."""
    for key in range(1, 10):
        written = fields()
        del written[key]
        with pytest.raises(DecodeError, match=r"head\.structure"):
            decode_head(cbor.encode(written), realm=REALM, issuer=ISSUER)


def test_a_head_that_cannot_be_read_is_not_written() -> None:
    """Encoding refuses what decoding would."""
    with pytest.raises(InvalidInputError):
        encode_head(Head(1, REALM, ISSUER, DAY, DAY - 1, {}))


def test_status_is_by_the_day_of_expiry() -> None:
    """Revoked, clear, clear on a day without a list, and not covered on either side of the range."""
    state = make({DAY: [5, 6]})
    noon = DAY * DAY_SECONDS + 43_200
    assert state.status(5, noon) is RevocationStatus.REVOKED
    assert state.status(7, noon) is RevocationStatus.CLEAR
    assert state.status(5, noon + DAY_SECONDS) is RevocationStatus.CLEAR
    assert state.status(5, noon - 2 * DAY_SECONDS) is RevocationStatus.NOT_COVERED
    assert state.status(5, noon + 10 * DAY_SECONDS) is RevocationStatus.NOT_COVERED


def test_midnight_belongs_to_the_new_day() -> None:
    """A code that expires at midnight is of the day that begins, and a day dies ten minutes after its end."""
    assert day_of(DAY * DAY_SECONDS) == DAY
    assert day_of(DAY * DAY_SECONDS - 1) == DAY - 1
    assert not is_dead(DAY, day_end(DAY) + 599)
    assert is_dead(DAY, day_end(DAY) + 600)


def test_a_list_is_held_against_its_head_before_it_is_parsed() -> None:
    """Another length, another hash and another count are each refused by name."""
    state = make({DAY: [5, 6]})
    head, entry = state.head, state.head.days[DAY]
    good = encode_list(RevocationList(REALM, ISSUER, DAY, [5, 6]))
    other = encode_list(RevocationList(REALM, ISSUER, DAY, [5, 7]))
    for data, changed, detail in [
        (good + b"\0", entry, "list.length"),
        (other, entry, "list.digest"),
        (good, replace(entry, count=3), "list.count"),
        (good, replace(entry, count=1), "list.count"),
    ]:
        with pytest.raises(DecodeError) as caught:
            build_state(replace(head, days={DAY: changed}), lambda _, data=data: data)  # type: ignore[misc]  # bound per turn
        assert caught.value.detail == detail


def test_what_did_not_change_is_not_fetched_again() -> None:
    """A list with the same hash is taken from the state before."""
    state = make({DAY: [5, 6]})

    def fetch(_: DayEntry) -> bytes:
        raise AssertionError

    assert build_state(state.head, fetch, previous=state).lists[DAY] is state.lists[DAY]


def test_growth_is_accepted() -> None:
    """More entries, more days and more killed keys are progress."""
    check_growth(make({DAY: [5]}), make({DAY: [5, 6], DAY + 1: [1]}, version=2, killed=frozenset({KID})))


@pytest.mark.parametrize(
    "new",
    [
        make({DAY: [5]}, version=3, killed=frozenset({KID})),
        make({DAY: [5, 7]}, version=3, killed=frozenset({KID})),
        make({DAY: [5, 7, 8]}, version=3, killed=frozenset({KID})),
        make({}, version=3, killed=frozenset({KID})),
        make({DAY: [5, 6]}, version=3),
    ],
    ids=["fewer", "swapped", "more but one lost", "day gone", "key alive again"],
)
def test_nothing_is_ever_taken_back(new: RevocationState) -> None:
    """A list that lost an entry, and a key that lives again, are LIST_SHRANK."""
    old = make({DAY: [5, 6]}, version=2, killed=frozenset({KID}))
    with pytest.raises(TrustError) as caught:
        check_growth(old, new)
    assert caught.value.reason is Reason.LIST_SHRANK


def test_an_older_head_or_list_is_refused_by_name() -> None:
    """LIST_ROLLBACK: of the head, and of one day in a newer head, also where nothing is missing."""
    old = make({DAY: [5, 6]}, version=2, killed=frozenset({KID}))
    newer = make({DAY: [5, 6]}, version=3, killed=frozenset({KID}))
    entry = replace(newer.head.days[DAY], version=old.head.days[DAY].version - 1)
    older_list = replace(newer, head=replace(newer.head, days={DAY: entry}))
    older_head = make({DAY: [5, 6]}, version=1, killed=frozenset({KID}))
    for new, says in ((older_head, "the head went back"), (older_list, f"the list of day {DAY} went back")):
        with pytest.raises(TrustError, match=says) as caught:
            check_growth(old, new)
        assert caught.value.reason is Reason.LIST_ROLLBACK


def test_a_dead_day_may_go() -> None:
    """A list goes ten minutes after its day, or once the head no longer covers the day."""
    old, new = make({DAY: [5]}), make({}, version=2)
    check_growth(old, new, now=day_end(DAY) + 600)
    check_growth(old, RevocationState(replace(new.head, covered_from=DAY + 1), {}))
    assert RevocationState(replace(new.head, covered_from=DAY + 1), {}).status(5, DAY * DAY_SECONDS) is (
        RevocationStatus.NOT_COVERED
    )


def test_a_head_that_began_in_the_future_may_come_back() -> None:
    """To yesterday at most, and only if its first day has not begun: else a list that is gone would clear its codes."""
    now = DAY * DAY_SECONDS
    old, new = make({}), make({}, version=2)
    ahead = RevocationState(replace(old.head, covered_from=DAY + 2), {})
    check_growth(ahead, new, now=now)
    for was, first, at in (
        (ahead, DAY - 2, now),
        (ahead, DAY - 1, now + 2 * DAY_SECONDS),
        (ahead, DAY - 1, None),
    ):
        with pytest.raises(TrustError) as caught:
            check_growth(was, RevocationState(replace(new.head, covered_from=first), {}), now=at)
        assert caught.value.reason is Reason.LIST_SHRANK
