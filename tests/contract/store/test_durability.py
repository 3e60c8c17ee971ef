"""What every store promises of a kill: what was answered is there, and no item is half there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from healthcode.wire.claims import Level
from province_node.store.publication import Publication
from province_node.store.records import Killed, Revoked
from tests.contract.store.killed_writer import FLIGHT, STEPS
from tests.contract.store.people import apply, evidence, read
from tests.contract.store.stores import DAY, HOLDER, NOW, RED, TAG, facts, issue, request, revoke

ROOT = Path(__file__).parents[3]


def writer(kind: str, folder: Path, where: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contract.store.killed_writer", kind, str(folder), where]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def after(kind, tmp_path, open_again):
    """The store after a process died where it was told."""

    def run(where: str):
        assert where in STEPS
        with writer(kind, tmp_path, where) as process:
            assert process.wait(30) == -9
        return open_again()

    return run


def test_a_kill_between_the_steps_leaves_a_level_and_no_code(after):
    """The level changed, the old code is revoked, the new one is not there; the same id then finishes the item."""
    store = after("level")
    state = store.answering.code_state(DAY, 1)
    assert (state.level, state.sequence, state.revoked) == (Level.RED, 2, True)
    assert store.issuing.find_issue(request(), NOW) == {}
    issue(store, 10, statement=RED)
    state = store.answering.code_state(DAY, 10)
    assert (state.level, state.sequence, state.revoked) == (Level.RED, 2, False)


def test_a_kill_after_a_slice_leaves_its_items(after):
    """The recorded items have their facts, codes and level, and the id can be finished."""
    store = after("slice")
    found = store.issuing.find_issue(request(), NOW)
    assert found == {position: facts(10 + position, level=Level.RED) for position in (0, 1)}
    for index in (10, 11):
        assert not store.answering.code_state(DAY, index).revoked
    assert store.issuing.holder_tags([HOLDER], DAY) == {HOLDER: TAG}


def test_a_kill_after_an_answer_loses_nothing_of_it(after):
    """Revocations are there, and their request's counts."""
    store = after("revoked")
    assert store.publishing.revoked_indices(DAY, 99) == [77]
    assert revoke(store, 77) == Revoked(1, 0, repeated=True)


def test_a_killed_key_stays_killed(after):
    """With the answer that names the next key."""
    store = after("killed")
    assert store.killing.killed_kids() == {b"k" * 8}
    answer = Killed(1, already_killed=False, next_kid=b"n" * 8, repeated=True)
    assert store.killing.find_killed(request("kill"), NOW) == answer


def test_a_kill_behind_evidence_leaves_its_due_mark(after):
    """The item is there and its holder is due: the level follows when somebody derives it."""
    store = after("evidence")
    state = read(store)
    assert (state.evidence, state.is_due, state.sequence) == ((evidence(),), True, 1)
    assert not store.answering.code_state(DAY, 1).revoked
    apply(store, Level.RED)
    assert store.answering.code_state(DAY, 1).revoked
    assert not read(store).is_due


def test_a_kill_behind_a_derived_level_leaves_all_of_it(after):
    """The row, the current level and the revocations are there, and the mark is gone."""
    store = after("derived")
    state = read(store)
    assert (state.last.level, state.current.next_change, state.is_due) == (Level.RED, NOW + 9, False)
    assert store.answering.code_state(DAY, 1).revoked


def test_a_kill_in_full_flight_leaves_whole_items(kind, tmp_path, open_again):
    """Everything acknowledged is there; each item has facts and code, or neither."""
    with writer(kind, tmp_path, FLIGHT) as process:
        assert process.stdout is not None
        for _ in range(20):
            acknowledged = int(process.stdout.readline())
        process.kill()
    store = open_again()
    found = store.issuing.find_issue(request(FLIGHT), NOW)
    assert max(found) >= acknowledged
    assert sorted(found) == list(range(2, max(found) + 1))
    for position in range(2, max(found) + 5):
        state = store.answering.code_state(DAY, position)
        assert (state is not None) == (position in found)
        assert state is None or (state.level, state.sequence) == (Level.GREEN, 1)


def test_what_was_recorded_is_there_without_a_goodbye(store, open_again):
    """Codes, revocations, tags, facts and the publication, in a store opened beside one that is never closed."""
    issue(store, 1)
    revoke(store, 1)
    publication = Publication(7, NOW, DAY, DAY + 9, 1, b"head")
    store.publishing.record_publication(publication)
    again = open_again()
    assert again.publishing.publication() == publication
    assert again.issuing.find_issue(request(), NOW) == {0: facts(1)}
    assert again.answering.code_state(DAY, 1).revoked
