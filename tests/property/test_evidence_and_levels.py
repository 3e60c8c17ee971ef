"""Whatever comes in whatever order: the level is that of the evidence, and one sequence never means two levels."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, EvidenceState, Finding, TestMethod
from healthcode.trust.view import TrustView
from province_node.people.holder_levels import HolderLevels
from province_node.people.level_clock import LevelClock
from province_node.people.level_worker import LevelWorker
from province_node.people.migration import Migration
from province_node.people.rules_in_force import RulesInForce
from province_node.store.people_records import NewEvidence, Source
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.followed import Followed
from tests.world.clock import NOW, ManualClock
from tests.world.level_rules import format_2_book

DOCUMENTS = tuple(bytes([number]) * 32 for number in range(3))
DAY = 86_400
BOOKS = (format_2_book(), format_2_book(version="27.2", lookback_days=20))


class Quiet:
    def set_level_lag(self, seconds: int) -> None: ...

    def set_level_sweep(self, holders: int, *, is_running: bool) -> None: ...

    def count_level_failure(self) -> None:
        raise AssertionError("a holder could not be derived")


class Home:
    """A store with the second step over it, and all answers that it ever gave."""

    def __init__(self, folder: Path, view: TrustView) -> None:
        self.store = SqliteNodeStore(folder / "node.db")
        self.store.sources.add_source(Source("lab", "", frozenset(EvidenceKind), ""), NOW)
        self.view = replace(view, policy=BOOKS[0])
        self.time = ManualClock()
        self.said: dict[tuple[bytes, int], str] = {}
        self.start()

    def start(self) -> None:
        self.clock = LevelClock(self.time, self.store.levels, lambda: False)
        migration = Migration(self.store.levels, self.store.evidence, self.store.sources)
        self.levels = HolderLevels(
            "31",
            store=self.store.levels,
            rules=RulesInForce(lambda: self.view),
            clock=self.clock,
            migration=migration,
            nudge=lambda: None,
        )
        self.worker = LevelWorker(self.levels, self.store.levels, migration, metrics=Quiet())

    def ask(self) -> None:
        """Each level is that of the evidence now, and of its sequence for ever."""
        found = self.levels.find(DOCUMENTS)
        assert found is not None
        rules = self.view.policy.in_force(self.clock.now()).levels
        assert rules is not None
        for state, level in zip(self.store.levels.read_holders(DOCUMENTS), found, strict=True):
            wanted = derive(rules, state.evidence, self.view.areas, self.clock.now(), participant="31")
            assert level.level is wanted.level
            assert level.sequence == state.sequence
            assert self.said.setdefault((state.holder, level.sequence), str(level.level)) == level.level

    def run(self, step: tuple[Any, ...]) -> None:
        match step:
            case "items", items:
                self.store.evidence.add_evidence([item(self.time.at, *each) for each in items], self.time.at)
            case ("work",):
                while self.worker.work():
                    pass
            case ("one round",):
                self.worker.work()
            case ("ask",):
                self.ask()
            case ("restart",):
                self.start()
            case "wait", seconds:
                self.time.at += seconds
            case "policy", number:
                self.view = replace(self.view, policy=BOOKS[number])
            case "merge", first, second:
                self.store.documents.merge_documents(DOCUMENTS[first], DOCUMENTS[second], self.time.at)
            case "split", document:
                if self.store.documents.documents_of(DOCUMENTS[document])[0] != DOCUMENTS[document]:
                    self.store.documents.split_document(DOCUMENTS[document], self.time.at)


def item(
    now: int, document: int, record: int, revision: int, finding: Finding, days: int, state: EvidenceState
) -> NewEvidence:
    is_test = finding in {Finding.NEGATIVE, Finding.POSITIVE}
    evidence = Evidence(
        "lab",
        f"{record:032}",
        revision,
        EvidenceKind.TEST if is_test else EvidenceKind.CONTACT,
        now - days * DAY,
        now,
        finding=finding,
        method=TestMethod.NUCLEIC if is_test else None,
        state=state,
    )
    return NewEvidence(DOCUMENTS[document], evidence)


_ITEM = st.tuples(
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(1, 3),
    st.sampled_from(
        [Finding.CLOSE, Finding.CONVEYANCE, Finding.NEGATIVE, Finding.NEGATIVE, Finding.POSITIVE]
    ),
    st.integers(0, 25),
    st.sampled_from([EvidenceState.ACTIVE] * 4 + [EvidenceState.WITHDRAWN, EvidenceState.HELD]),
)
_STEP = st.one_of(
    st.tuples(st.just("items"), st.lists(_ITEM, min_size=1, max_size=3)),
    st.tuples(st.just("items"), st.lists(_ITEM, min_size=1, max_size=8)),
    st.tuples(st.sampled_from(["work", "work", "one round", "restart"])),
    st.tuples(st.just("wait"), st.integers(1, 9 * DAY)),
    st.tuples(st.just("policy"), st.integers(0, 1)),
    st.tuples(st.just("merge"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("split"), st.integers(0, 2)),
)


@pytest.fixture(scope="module")
def view() -> TrustView:
    return Followed.of("31").view


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(_STEP, st.booleans()), min_size=6, max_size=20))
def test_a_level_is_that_of_its_evidence(view: TrustView, steps: list[tuple[tuple[Any, ...], bool]]) -> None:
    """Items in any order, revised, withdrawn, held; merges, splits, new policies, restarts, time: at each look."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        home = Home(Path(folder), view)
        try:
            for step, looks in (*steps, (("work",), True)):
                home.run(step)
                if looks:
                    home.ask()
            assert home.store.levels.waiting()[0] == 0
        finally:
            home.store.close()
