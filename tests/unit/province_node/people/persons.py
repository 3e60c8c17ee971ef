"""A world under a policy of format 2: a registered laboratory, drafts of evidence, and the worker's second step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from healthcode.errors import HealthcodeError
from healthcode.identity.document import decode_document
from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.levels.evidence import EvidenceKind, Finding, TestMethod
from healthcode.policy.words import RiskLevel
from healthcode.wire.claims import Level
from province_node.audit.reading import ReadAudit
from province_node.people.evidence_checks import EvidenceDraft
from province_node.people.explanation import ExplainUseCase, Explanation
from province_node.people.holder_levels import HolderLevel, HolderLevels
from province_node.people.level_clock import LevelClock
from province_node.people.level_worker import LevelWorker
from province_node.people.migration import Migration
from province_node.people.pseudonym import PseudonymKey
from province_node.people.rules_in_force import RulesInForce
from province_node.people.submission import SourceGate, SubmitResult, SubmitUseCase
from province_node.people.withdrawal import WithdrawUseCase
from province_node.store.people_records import HolderState, LevelRecord, Source
from tests.unit.province_node.world import HOME, World
from tests.world.level_rules import format_2, format_2_book
from tests.world.people import VALID_IDS

KEY = "sha256:" + "a" * 64
HOUR, DAY = 3600, 86_400
PERSON, OTHER = (decode_document("10", number) for number in VALID_IDS[:2])
AREA = "310115"
NO_CONTACTS = [each for each in format_2()["policies"][0]["levels"] if each["when"]["kind"] != "CONTACT"]


class Numbers:
    """What the worker tells an operator."""

    def __init__(self) -> None:
        self.lag = -1
        self.swept = 0
        self.is_sweeping = False
        self.failures = 0

    def set_level_lag(self, seconds: int) -> None:
        self.lag = seconds

    def set_level_sweep(self, holders: int, *, is_running: bool) -> None:
        self.swept, self.is_sweeping = holders, is_running

    def count_level_failure(self) -> None:
        self.failures += 1


@dataclass
class Persons:
    """Evidence in, levels out, as a node wires it; `is_clock_wrong` is set by a test."""

    world: World
    participant: str = HOME
    is_clock_wrong: bool = False

    def __post_init__(self) -> None:
        self.numbers = Numbers()
        self.set_policy()
        self.store = self.world.store
        self.pseudonyms = PseudonymKey(self.world.keyring.holder_secret())
        if self.store.sources.find_source("lab") is None:
            self.store.sources.add_source(Source("lab", KEY, frozenset(EvidenceKind), "labs"), self.now)
        self.start()

    def start(self) -> None:
        """As after a restart: nothing is in memory."""
        store = self.store
        self.clock = LevelClock(self.world.clock, store.levels, lambda: self.is_clock_wrong)
        self.migration = Migration(store.levels, store.evidence, store.sources)
        self.levels = HolderLevels(
            self.participant,
            store=store.levels,
            rules=RulesInForce(self.world.trust),
            clock=self.clock,
            migration=self.migration,
            nudge=lambda: self.world.nudges.append(1),
        )
        self.worker = LevelWorker(self.levels, store.levels, self.migration, metrics=self.numbers)
        gate = SourceGate(store.sources)
        self.submitting = SubmitUseCase(
            gate=gate,
            store=store.evidence,
            pseudonyms=self.pseudonyms,
            trust=self.world.trust,
            clock=self.clock,
            wake=self.worker.wake,
        )
        self.withdrawing = WithdrawUseCase(
            gate=gate,
            store=store.evidence,
            pseudonyms=self.pseudonyms,
            clock=self.clock,
            wake=self.worker.wake,
        )

    @property
    def explaining(self) -> ExplainUseCase:
        return ExplainUseCase(self.levels, self.store.levels, trust=self.world.trust, clock=self.clock)

    @property
    def reading(self) -> ReadAudit:
        realm, store = self.world.realm.realm, self.store
        return ReadAudit(
            self.participant, realm, store=store.audit, documents=store.documents, clock=self.world.clock
        )

    def explain(self, document: Any = PERSON, at: int | None = None) -> Explanation:
        return self.explaining.explain(self.pseudonyms.pseudonym(document), at)

    @property
    def now(self) -> int:
        return self.world.clock.at

    def set_policy(self, **changes: Any) -> None:
        self.world.view = replace(self.world.view, policy=format_2_book(**changes))

    def set_areas(self, *intervals: RiskInterval) -> None:
        areas = AreaRisk(self.now, intervals={AREA: intervals} if intervals else {})
        self.world.view = replace(self.world.view, areas=areas)

    def draft(self, record: str = "r-1", **changes: Any) -> EvidenceDraft:
        """A close contact of an hour ago: RED by L-A4-1."""
        values: dict[str, Any] = {
            "revision": 1,
            "document": PERSON,
            "kind": EvidenceKind.CONTACT,
            "finding": Finding.CLOSE,
            "observed_at": self.now - HOUR,
        }
        return EvidenceDraft(record=record, **{**values, **changes})

    def negative(self, record: str, at: int, **changes: Any) -> EvidenceDraft:
        values: dict[str, Any] = {
            "kind": EvidenceKind.TEST,
            "finding": Finding.NEGATIVE,
            "method": TestMethod.NUCLEIC,
            "observed_at": at,
        }
        return self.draft(record, **{**values, **changes})

    def stay(self, record: str, begin: int, end: int, **changes: Any) -> EvidenceDraft:
        values: dict[str, Any] = {
            "kind": EvidenceKind.AREA_STAY,
            "finding": None,
            "observed_at": None,
            "area": AREA,
            "stay_from": begin,
            "stay_to": end,
        }
        return self.draft(record, **{**values, **changes})

    def submit(self, *drafts: EvidenceDraft) -> list[str]:
        """Step one; each result as a word: of a refusal its reason."""
        return [word(each) for each in self.submitting.submit("lab", KEY, drafts)]

    def refusal(self, draft: EvidenceDraft) -> HealthcodeError:
        (result,) = self.submitting.submit("lab", KEY, [draft])
        assert isinstance(result, HealthcodeError)
        return result

    def work(self) -> None:
        """Step two, until there is nothing left to do."""
        while self.worker.work():
            pass

    def take(self, *drafts: EvidenceDraft) -> None:
        assert set(self.submit(*drafts)) == {"ACCEPTED"}
        self.work()

    def level(self, document: Any = PERSON) -> HolderLevel:
        found = self.levels.find([self.pseudonyms.pseudonym(document)])
        assert found is not None
        return found[0]

    def state(self, document: Any = PERSON) -> HolderState:
        (state,) = self.store.levels.read_holders([self.pseudonyms.pseudonym(document)])
        return state

    def last(self, document: Any = PERSON) -> LevelRecord:
        last = self.state(document).last
        assert last is not None
        return last


def word(result: SubmitResult) -> str:
    return str(result.reason) if isinstance(result, HealthcodeError) else str(result)


def high(begin: int, end: int | None = None) -> RiskInterval:
    return RiskInterval(RiskLevel.HIGH, begin, end)


RED, YELLOW, GREEN, PENDING = Level.RED, Level.YELLOW, Level.GREEN, Level.PENDING
