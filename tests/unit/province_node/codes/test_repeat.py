"""The same request id gives the same item answers, wherever the first call was cut, and keeps no text of a code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from healthcode.errors import InvalidInputError, Reason, UnavailableError
from healthcode.policy.words import LevelReason
from healthcode.revocation.day import day_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.code import decode_code
from province_node.codes import issue
from province_node.codes.code_maker import IssuedCode
from province_node.codes.issue import IssueUseCase
from province_node.operations.backup import write_backup
from province_node.store.records import LevelStatement, NotRecorded, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.codes.test_kill_key import publish_second_key
from tests.unit.province_node.operations.backed_up import NODE_TOML
from tests.world.people import VALID_IDS, order

RED = LevelStatement(Level.RED, LevelReason.A4)
ORDERS = [
    order(),
    order(VALID_IDS[1], statement=RED, presentation=Presentation.PAPER, shown_by_relative=True),
    InvalidInputError("no document", reason=Reason.DOCUMENT_INVALID),
    order(VALID_IDS[2], validity_seconds=9999),
    order(VALID_IDS[3], name=""),
]


class FaultyStore:
    """The store's issuing part, which stops before a call, or does something else first."""

    def __init__(self, inner: Any, **before: Any) -> None:
        self._inner = inner
        self._before = before

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        before = self._before.get(name)
        if before is None:
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            before()
            return method(*arguments, **options)

        return call


class KilledError(Exception):
    """The process ends here."""


def kill_at(number: int):
    """Raises at the given call, counted from 1."""
    calls = iter(range(1, 1000))

    def before() -> None:
        if next(calls) == number:
            raise KilledError

    return before


def use_case(world, **before: Any) -> IssueUseCase:
    made = world.issuing()
    made._store = FaultyStore(world.store.issuing, **before)
    return made


def texts(results) -> list[str]:
    return [each.text if isinstance(each, IssuedCode) else f"{each.reason}" for each in results]


def test_a_repeat_gives_the_same_answers_and_issues_nothing(world):
    """Codes bit by bit, refusals with their messages; nothing is new."""
    first = world.issue(ORDERS)
    codes = world.store.counts(NOW)["codes_out"]
    world.clock.at += 600
    again = world.issue(ORDERS)
    assert texts(again.results) == texts(first.results)
    assert [isinstance(each, IssuedCode) for each in again.results] == [True, True, False, False, True]
    assert again.results[0] == first.results[0]
    assert [each.message for each in again.results[2:4]] == [each.message for each in first.results[2:4]]
    assert (len(first.new), again.new) == (5, [])
    assert world.store.counts(NOW)["codes_out"] == codes


def test_a_repeat_is_answered_past_the_window_of_its_key(world):
    """The key that is named signs again, also when it issues no more."""
    first = world.issue(ORDERS[:2])
    world.realm.rotate_key("31", KeyPurpose.LIVE, "next")
    world.realm.publish_province("31")
    world.refresh()
    world.clock.at += 20 * 3600
    assert texts(world.issue(ORDERS[:2]).results) == texts(first.results)


def test_an_order_that_would_be_accepted_now_stays_refused(world):
    """The reason is the same, and the message says why it is given."""
    world.cover(days=3)
    paper = [order(presentation=Presentation.PAPER)]
    assert world.issue(paper).results[0].reason is Reason.NOT_COVERED
    world.cover()
    (again,) = world.issue(paper).results
    assert again.reason is Reason.NOT_COVERED
    assert "ask with a new id" in again.message


@pytest.mark.parametrize("how", ["killed here", "killed in the head", "missing", "another text"])
def test_a_text_that_cannot_be_given_again_refuses_its_item_alone(world, how, monkeypatch):
    """CODE_NOT_REPEATABLE says that it was issued; items of other keys are given again."""
    first = world.issue(ORDERS)
    kid = first.results[0].kid
    if how == "killed here":
        world.store.killing.kill_key(kid, RevocationReason.FRAUD, world.request("k"), None, NOW)
    elif how == "killed in the head":
        world.realm.kill("31", kid)
        world.realm.publish_live("31")
        world.refresh()
    elif how == "missing":
        signers = world.keyring.signers
        monkeypatch.setattr(
            type(world.keyring),
            "signers",
            lambda _, purpose: [] if purpose is KeyPurpose.LIVE else signers(purpose),
        )
    else:
        monkeypatch.setattr("province_node.codes.code_maker.mask_name", lambda name: f"{name[0]}**")
    again = world.issue(ORDERS).results
    for position in (0, 4) if how != "another text" else (0,):
        assert again[position].reason is Reason.CODE_NOT_REPEATABLE
        assert (
            "it was issued, and its text cannot be given again: ask with a new id" in again[position].message
        )
    if how != "another text":
        assert again[1] == first.results[1]
    assert world.issue(ORDERS[2:4], "fresh").new


def test_a_kill_between_the_two_steps_leaves_a_level_and_no_code(world):
    """The GREEN code is revoked and no RED one exists; the same id then finishes the item."""
    green = world.issue_one()
    red = [order(statement=RED)]
    cut = use_case(world, record_issue=kill_at(1))
    with pytest.raises(KilledError):
        cut.issue(red, world.request("red"))
    cut.close()
    state = world.store.answering.code_state(day_of(green.expires_at), green.index)
    assert (state.level, state.revoked, state.sequence) == (Level.RED, True, 2)
    assert world.store.counts(NOW)["codes_out"] == 1
    finished = world.issue(red, "red")
    (code,) = finished.results
    state = world.store.answering.code_state(day_of(code.expires_at), code.index)
    assert (state.level, state.revoked, state.sequence) == (Level.RED, False, 2)
    assert finished.new == [code]


@pytest.mark.parametrize("step", ["record_level", "record_issue"])
def test_a_batch_cut_between_slices_is_finished_by_the_same_id(world, monkeypatch, step):
    """Finished items are answered the same, the rest is issued, and another content is refused."""
    monkeypatch.setattr(issue, "_SLICE", 2)
    orders = [order(number) for number in VALID_IDS] + ORDERS[2:4]
    cut = use_case(world, **{step: kill_at(2)})
    with pytest.raises(KilledError):
        cut.issue(orders, world.request())
    cut.close()
    recorded = world.store.issuing.find_issue(world.request(), NOW)
    assert set(recorded) == {0, 1}
    with pytest.raises(InvalidInputError) as refused:
        world.store.issuing.find_issue(world.request(digest=b"other"), NOW)
    assert refused.value.reason is Reason.REQUEST_ID_REUSED
    world.clock.at += 60
    finished = world.issue(orders, "r-1")
    codes = [each for each in finished.results if isinstance(each, IssuedCode)]
    assert [code.issued_at - NOW for code in codes] == [0, 0, 60, 60]
    assert {code.index for code in codes[:2]} == {recorded[0].index, recorded[1].index}
    assert len(finished.new) == 4
    assert texts(world.issue(orders, "r-1").results) == texts(finished.results)


def test_a_holder_may_change_within_one_batch(world):
    """Orders of one holder with different levels count in their order: the last one is valid, the others are revoked."""
    orders = [order(), order(VALID_IDS[1]), order(statement=RED), order()]
    codes = world.issue(orders).results
    states = [world.store.answering.code_state(day_of(code.expires_at), code.index) for code in codes]
    assert [state.revoked for state in states] == [True, False, True, False]
    assert [state.sequence for state in states] == [3, 1, 3, 3]
    assert [decode_code(code.text, world.realm.realm).claims.level for code in codes] == [
        Level.GREEN,
        Level.GREEN,
        Level.RED,
        Level.GREEN,
    ]


def test_a_level_that_moves_meanwhile_is_stated_again(world):
    """Two back ends for one holder at once: each code is issued under its own level, the earlier one revoked."""
    others: list[IssuedCode] = []

    def another_back_end() -> None:
        if not others:
            others.append(world.issue_one(statement=RED))

    ours = use_case(world, record_issue=another_back_end)
    (code,) = ours.issue([order()], world.request()).results
    ours.close()
    day = day_of(code.expires_at)
    assert world.store.answering.code_state(day, others[0].index).revoked
    state = world.store.answering.code_state(day, code.index)
    assert (state.level, state.revoked, state.sequence) == (Level.GREEN, False, 3)


def test_a_holder_whom_others_change_all_the_time_is_asked_to_wait(world):
    """After some attempts the call is UNAVAILABLE, with no code recorded, and the id can be used again."""
    numbers = iter(range(1000))

    def another_back_end() -> None:
        world.issue_one(statement=replace(RED, until=NOW + 1000 + next(numbers)))

    ours = use_case(world, record_issue=another_back_end)
    with pytest.raises(UnavailableError, match="same request_id"):
        ours.issue([order()], world.request())
    ours.close()
    assert world.store.issuing.find_issue(world.request(), NOW) == {}
    assert world.issue([order()], "r-1").new


def test_a_key_that_another_process_kills_is_left_at_once(world):
    """The code is signed again by the next key; without one the item is refused."""
    publish_second_key(world)
    first = world.issue_one().kid

    def another_process() -> None:
        world.store.killing.kill_key(first, RevocationReason.FRAUD, world.request("k"), None, NOW)

    ours = use_case(world, record_issue=another_process)
    (code,) = ours.issue([order()], world.request()).results
    ours.close()
    assert code.kid != first
    world.store.killing.kill_key(code.kid, RevocationReason.FRAUD, world.request("l"), None, NOW)
    (refused,) = world.issue([order()], "none").results
    assert refused.reason is Reason.KEY_UNAVAILABLE


def test_a_process_with_old_indices_takes_new_ones(world):
    """After another process opened a series or stopped issuing, what was reserved before is not used."""
    ours = world.issuing()
    ours.issue([order()], world.request("1"))
    world.store.publishing.take_over({}, (), 3, day_of(NOW) + 9, NOW, seen_version=1)
    world.cover()
    (code,) = ours.issue([order()], world.request("2")).results
    assert code.index >> 26 == 3
    world.store.publishing.stop_issuing("another node", NOW)
    (refused,) = ours.issue([order()], world.request("3")).results
    assert (refused.reason, refused.message) == (Reason.NOT_COVERED, "another node")
    ours.close()


def test_a_single_refusal_may_be_over_when_it_is_repeated(world):
    """Without `keeps_refusals` nothing of a refusal is recorded."""
    world.cover(days=3)
    paper = [order(presentation=Presentation.PAPER)]
    assert world.issue(paper, keeps_refusals=False).results[0].reason is Reason.NOT_COVERED
    world.cover()
    assert isinstance(world.issue(paper, keeps_refusals=False).results[0], IssuedCode)


def test_no_obstacle_is_unknown():
    """Each obstacle is one that the use case makes good: a new one needs its own answer there."""
    assert set(NotRecorded) == {"KEY_KILLED", "LEVEL_MOVED", "SERIES_CLOSED", "STOPPED"}


def test_no_text_of_a_code_is_in_the_database_or_its_backup(world, tmp_path):
    """Neither the texts nor the signatures, in the file, its log, and a backup."""
    root = tmp_path / "node"
    (root / "tls").mkdir(parents=True)
    (root / "keys").mkdir()
    (root / "node.toml").write_text(NODE_TOML.format(realm=world.realm.realm, digits="0" * 64))
    world.store.close()
    world.store = SqliteNodeStore(root / "node.db")
    world.cover()
    codes = [each for each in world.issue(ORDERS).results if isinstance(each, IssuedCode)]
    write_backup(root, tmp_path / "b.tar", now=NOW)
    stored = b"".join(path.read_bytes() for path in [*root.glob("node.db*"), tmp_path / "b.tar"])
    for code in codes:
        signature = decode_code(code.text, world.realm.realm).sign1.signature
        assert code.text.encode() not in stored
        assert signature not in stored
        assert code.text[6:40].encode() not in stored


def test_a_slow_call_of_an_answered_request_changes_nothing(world):
    """Its level is not brought back when another request has changed it, and it hears the first answer."""
    first: list[IssuedCode] = []
    later: list[IssuedCode] = []

    def the_same_and_another_request() -> None:
        if not first:
            first.extend(world.issue([order()], "r-1").results)
            later.append(world.issue_one(statement=RED))

    ours = use_case(world, record_level=the_same_and_another_request)
    slow = ours.issue([order()], world.request())
    ours.close()
    assert (slow.results, slow.new) == (first, [])
    state = world.store.answering.code_state(day_of(later[0].expires_at), later[0].index)
    assert (state.level, state.revoked, state.sequence) == (Level.RED, False, 2)
