"""Builds the parts of a node over one core; `app` opens, runs and closes them."""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.identity.peer import PeerKind
from healthcode.service.clock_check import ClockCheck
from healthcode.service.reporter import NodeReporter
from healthcode.service.service_link import ServiceLink
from healthcode.telemetry import Metrics
from healthcode.trust.format.json_files import OfficersReference
from healthcode.trust.view import TrustView
from province_node.api.evidence import Intake
from province_node.api.issuer import Codes
from province_node.audit.reading import ReadAudit
from province_node.codes.issue import IssueUseCase
from province_node.codes.kill_key import KillUseCase
from province_node.codes.order import Published
from province_node.codes.revoke import RevokeUseCase
from province_node.keys.held_keys import HeldKeys, write_held_keys
from province_node.keys.key_watcher import KeyWatcher
from province_node.keys.keyring import Keyring
from province_node.metrics import NodeMetrics
from province_node.officers.roster import Roster, open_roster
from province_node.operations.alarms import Alarms
from province_node.people.explanation import ExplainUseCase
from province_node.people.holder_levels import HolderLevels
from province_node.people.level_clock import LevelClock
from province_node.people.level_worker import LevelWorker
from province_node.people.migration import Migration
from province_node.people.pseudonym import PseudonymKey
from province_node.people.rules_in_force import RulesInForce
from province_node.people.submission import SourceGate, SubmitUseCase
from province_node.people.withdrawal import WithdrawUseCase
from province_node.publishing.catch_up import CaughtUp
from province_node.publishing.head_sender import HeadSender, TrustInUse
from province_node.publishing.next_head import HeadMaker
from province_node.publishing.own_head import note_second_node
from province_node.publishing.padding import Padding
from province_node.publishing.publisher import Publisher, PublishEvents
from province_node.publishing.registry_link import RegistryLink
from province_node.publishing.resend import Resend
from province_node.queries.answer import AnswerUseCase
from province_node.queries.ask import AskUseCase
from province_node.queries.gateway_link import GatewayLink
from province_node.settings import NodeSettings
from province_node.store.protocols import NodeStore
from province_node.threads import NodeThreads
from province_node.trust import NodeTrust
from province_node.witness.own_checkpoint import OwnCheckpoint
from province_node.witness.proof_link import ProofLink
from province_node.witness.prove import ProveUseCase
from province_node.witness.witness import Witness
from province_node.witness.witness_file import WitnessFile

__all__ = [
    "NodeCore",
    "People",
    "Publishing",
    "Queries",
    "Witnessing",
    "build_codes",
    "build_core",
    "build_people",
    "build_publishing",
    "build_queries",
    "build_witnessing",
]


@dataclass(frozen=True, slots=True)
class NodeCore:
    """What every part of a node is built from. `metrics` is the page, `counters` the node's own metrics on it.

    `clock` is the machine's. What must go out even while that is wrong is dated by `clock_check`.
    """

    settings: NodeSettings
    keyring: Keyring
    store: NodeStore
    clock: Clock
    clock_check: ClockCheck
    metrics: Metrics
    counters: NodeMetrics
    trust: NodeTrust
    alarms: Alarms
    key_watcher: KeyWatcher
    threads: NodeThreads
    roster: Roster

    @property
    def identity(self) -> dict[str, str]:
        return {"participant": self.settings.participant, "realm": self.settings.realm}

    def link(self, service: str, kind: PeerKind) -> ServiceLink:
        """A link to a national service, for one use case."""
        return ServiceLink(
            service,
            kind,
            realm=self.settings.realm,
            trust=self.trust.view,
            tls=self.settings.tls,
            clock=self.clock,
        )


def build_core(
    settings: NodeSettings, keyring: Keyring, store: NodeStore, *, clock: Clock, metrics: Metrics
) -> NodeCore:
    """The core: the trust, and those who look at each new view of it. Call it inside a running event loop."""
    counters = NodeMetrics(metrics)
    alarms = Alarms(settings, store.publishing, counters, clock)

    def tell(held: HeldKeys) -> None:
        counters.set_unreadable_keys(len(held.unreadable))
        write_held_keys(settings, held)

    key_watcher = KeyWatcher(settings.participant, keyring, clock, tell=tell)

    def look(view: TrustView) -> None:
        alarms.look(view)
        key_watcher.look(view)

    clock_check = ClockCheck(clock)
    counters.watch_clock(lambda: clock_check.is_wrong)
    trust = NodeTrust(settings, clock=clock, metrics=metrics, clock_check=clock_check, on_view=look)
    return NodeCore(
        settings,
        keyring,
        store,
        clock,
        clock_check,
        metrics,
        counters,
        trust,
        alarms,
        key_watcher,
        NodeThreads(),
        open_roster(
            settings.officers,
            realm=settings.realm,
            participant=settings.participant,
            published=lambda: _published_officers(trust, settings.participant),
        ),
    )


def _published_officers(trust: NodeTrust, participant: str) -> OfficersReference | None:
    view = trust.view_or_none()
    issuer = None if view is None else view.issuers.get(participant)
    return None if issuer is None else issuer.officers


@dataclass(frozen=True, slots=True)
class Publishing:
    """Publishing to the registry, and reporting to it."""

    publisher: Publisher
    reporter: NodeReporter
    link: ServiceLink


def build_publishing(core: NodeCore, witness: Witness) -> Publishing:
    """The publisher, with the registry behind it. What `witness` raises is reported."""
    settings, store = core.settings, core.store.publishing
    link = core.link("registry", PeerKind.REGISTRY)
    registry = RegistryLink(link)
    trust = TrustInUse(core.trust.view_or_none, core.trust.refresh)
    # Revocations go out whatever our clock says. A head dated in the future would be refused, or would hide later
    # ones, so the earlier of our time and the registry's dates it while the two differ.
    clock = core.clock_check
    publisher = Publisher(
        settings.participant,
        sender=HeadSender(
            HeadMaker(
                settings.participant,
                settings.realm,
                store=store,
                keys=core.keyring.head_keys,
                padding=Padding(core.store.padding, core.keyring.index_secret())
                if settings.publish.padding
                else None,
                checkpoint=OwnCheckpoint(core.store.audit, settings.publish.resign_seconds).at,
            ),
            participant=settings.participant,
            root=settings.registry.root_fingerprint,
            store=store,
            trust=trust,
            send=registry.publish_revocations,
            clock=clock,
        ),
        store=store,
        trust=trust,
        clock=clock,
        settings=settings.publish,
        events=_publish_events(core),
    )
    resend = Resend(
        settings.participant, settings.trust.folder, registry.publish_province, publisher.sign_again
    )
    reporter = NodeReporter(
        "province-node",
        realm=settings.realm,
        trust=core.trust.view_or_none,
        directory=settings.trust.folder,
        tls=settings.tls,
        clock=core.clock,
        metrics=core.metrics,
        on_lacking=resend.resend,
        clock_check=core.clock_check,
    )
    reporter.audit_alarms = witness.alarms
    core.trust.on_setback(reporter.report_soon)
    return Publishing(publisher, reporter, link)


def _publish_events(core: NodeCore) -> PublishEvents:
    def caught_up(_: CaughtUp) -> None:
        core.counters.count_catch_up()

    def second_node(is_present: bool) -> None:
        core.counters.set_second_node(is_present)
        if is_present:
            note_second_node(core.settings.trust.folder, core.clock.now())

    return PublishEvents(
        published=lambda publication: core.counters.set_head(publication.version, publication.signed_at),
        caught_up=caught_up,
        second_node=second_node,
        failing=core.counters.set_publish_failing,
    )


@dataclass(frozen=True, slots=True)
class Witnessing:
    """Watching other provinces' audit logs, and proving that our own only grows."""

    witness: Witness
    prove: ProveUseCase
    link: ServiceLink


def build_witnessing(core: NodeCore) -> Witnessing:
    """The witness looks at each trust view, and asks through the gateway."""
    settings = core.settings
    link = core.link("gateway", PeerKind.GATEWAY)
    witness = Witness(
        settings.participant,
        WitnessFile(settings.trust.folder),
        provinces=ProofLink(link),
        clock=core.clock,
        observer=core.counters,
        ask_seconds=settings.witness.ask_seconds,
    )
    core.trust.watch(witness.look)
    prove = ProveUseCase(
        **core.identity, keyring=core.keyring, log=core.store.audit, trust=core.trust.view, clock=core.clock
    )
    return Witnessing(witness, prove, link)


def build_codes(core: NodeCore, publisher: Publisher, levels: HolderLevels) -> Codes:
    """Issuing, revoking, and killing keys."""
    settings, store = core.settings, core.store
    # by a clock that is ahead, codes that are still good elsewhere would not be revoked
    clock = core.clock_check
    trust = core.trust.view
    return Codes(
        issue=IssueUseCase(
            **core.identity,
            keyring=core.keyring,
            store=store.issuing,
            published=Published(trust, publisher.acknowledged),
            levels=levels,
            clock=clock,
            settings=settings.issue,
        ),
        revoke=RevokeUseCase(
            **core.identity, store=store.revoking, trust=trust, nudge=publisher.nudge, clock=clock
        ),
        kill=KillUseCase(
            participant=settings.participant,
            keyring=core.keyring,
            store=store.killing,
            trust=trust,
            nudge=publisher.nudge,
            clock=clock,
        ),
    )


@dataclass(frozen=True, slots=True)
class People:
    """Evidence in, levels out. `worker` is the second step."""

    levels: HolderLevels
    intake: Intake
    worker: LevelWorker


def build_people(core: NodeCore, publisher: Publisher) -> People:
    """What derives levels: under a policy of format 1 it takes evidence, and derives nothing."""
    store, trust = core.store, core.trust.view
    clock = LevelClock(core.clock, store.levels, lambda: _is_clock_wrong(core))
    migration = Migration(store.levels, store.evidence, store.sources)
    levels = HolderLevels(
        core.settings.participant,
        store=store.levels,
        rules=RulesInForce(trust),
        clock=clock,
        migration=migration,
        nudge=publisher.nudge,
    )
    worker = LevelWorker(levels, store.levels, migration, metrics=core.counters)
    gate, pseudonyms = SourceGate(store.sources), PseudonymKey(core.keyring.holder_secret())
    intake = Intake(
        submit=SubmitUseCase(
            gate=gate,
            store=store.evidence,
            pseudonyms=pseudonyms,
            trust=trust,
            clock=clock,
            wake=worker.wake,
        ),
        withdraw=WithdrawUseCase(
            gate=gate, store=store.evidence, pseudonyms=pseudonyms, clock=clock, wake=worker.wake
        ),
        explain=ExplainUseCase(levels, store.levels, trust=trust, clock=clock),
        audit=ReadAudit(**core.identity, store=store.audit, documents=store.documents, clock=core.clock),
    )
    return People(levels, intake, worker)


def _is_clock_wrong(core: NodeCore) -> bool:
    """Whether our clock differs from signed time by more than the policy's skew, as far as we know."""
    view, now = core.trust.view_or_none(), core.clock.now()
    if view is None or core.clock_check.is_wrong:
        return True
    skew = view.policy.in_force(now).skew_seconds
    return view.timestamp_signed_at > now + skew or view.clock_ahead_seconds(now) > skew


@dataclass(frozen=True, slots=True)
class Queries:
    """Asking homes about codes, and answering for our own."""

    answer: AnswerUseCase
    ask: AskUseCase
    link: ServiceLink


def build_queries(core: NodeCore, levels: HolderLevels) -> Queries:
    """Questions go through the gateway; those about our own codes are answered here."""
    link = core.link("gateway", PeerKind.GATEWAY)
    answer = AnswerUseCase(
        **core.identity,
        keyring=core.keyring,
        store=core.store.answering,
        levels=levels,
        trust=core.trust.view,
        clock=core.clock_check,  # the home's word on its codes counts everywhere
    )
    ask = AskUseCase(
        **core.identity,
        keyring=core.keyring,
        trust=core.trust.view,
        carry=GatewayLink(link).ask,
        answer_here=lambda question: answer.answer(question)[0],
        clock=core.clock,
    )
    return Queries(answer, ask, link)
