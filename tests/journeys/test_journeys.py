"""The four journeys that docs/architecture.md tells, each in one process and without sockets."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import pytest

from gateway.forwarding.ask import Asking
from gateway.forwarding.cache import AnswerCache
from gateway.forwarding.home_call import HomeCalls
from gateway.forwarding.home_guard import HomeGuards
from gateway.forwarding.outcome import Answered
from gateway.forwarding.route import Route
from gateway.settings import HomeSettings
from healthcode.policy.words import Decision, Outcome
from healthcode.revocation.day import day_of
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.trust.view import TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.verifier import Verifier
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code
from healthcode.wire.question import QueryMode, QueryPurpose
from province_node.codes.revoke import RevokeUseCase
from province_node.keys.keyring import Keyring
from province_node.publishing.head_sender import HeadSender, TrustInUse
from province_node.publishing.next_head import HeadMaker, NextHead
from province_node.publishing.publisher import Publisher as HeadPublisher
from province_node.publishing.publisher import PublishEvents
from province_node.queries.answer import AnswerUseCase
from province_node.queries.ask import AskUseCase
from province_node.settings import PublishSettings
from province_node.store.records import Request, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry, operator, put_join
from tests.unit.province_node.world import PASSPHRASE, World, write_keys
from tests.world.clock import ManualClock
from trust_registry.participants.submission import Publisher
from trust_registry.proposals.drafts import draft_admission
from trust_registry.proposals.sign import sign_proposal
from trust_registry.registry import Registry

REALM = "test-registry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry")


@pytest.fixture
def follower(registry: Registry, tmp_path: Path) -> TrustClient:
    """Another node's trust folder, which follows the registry's files."""
    source = FolderSource(registry.folder.repository)
    fingerprint = root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))
    init_trust(tmp_path / "trust", source, fingerprint)
    return TrustClient(tmp_path / "trust", source)


@pytest.fixture
def text(world: World) -> str:
    """A GREEN code of 31."""
    return world.issue_one().text


@pytest.fixture
def shanghai(registry: Registry) -> Province:
    """Province 31, admitted."""
    made = Province("31", REALM)
    admit(registry, made)
    return made


def test_a_text_becomes_a_verdict(world: World, text: str) -> None:
    """A code's text is decoded, verified and decided offline."""
    verdict = Verifier(world.view).verify(text, place="STATION", now=NOW)
    assert (verdict.outcome, verdict.decision) == (Outcome.VALID, Decision.PASS)


async def test_a_revocation_becomes_another_node_s_refusal(
    registry: Registry, shanghai: Province, follower: TrustClient, tmp_path: Path
) -> None:
    """A code revoked at 31 is published by the registry and refused by who follows it."""
    text = sign_code(code_claims(), shanghai.code_key, REALM)
    store = SqliteNodeStore(tmp_path / "node.db")
    received = Publisher(registry.repository)

    def trust() -> TrustView:
        return follower.refresh(NOW).view

    async def send(head: NextHead) -> None:
        lists = {}
        for data in head.lists:
            name = hashlib.sha256(data).hexdigest()
            lists[name] = tmp_path / name
            lists[name].write_bytes(data)
        received.publish_revocations("31", head.metadata, head.head, lists)

    async def refresh() -> None:
        trust()

    view = trust()
    in_use = TrustInUse(lambda: view, refresh)
    publisher = HeadPublisher(
        "31",
        sender=HeadSender(
            HeadMaker("31", REALM, store=store.publishing, keys=lambda _: [shanghai.live_key]),
            participant="31",
            root="",
            store=store.publishing,
            trust=in_use,
            send=send,
            clock=ManualClock(),
        ),
        store=store.publishing,
        trust=in_use,
        clock=ManualClock(),
        settings=PublishSettings(interval_seconds=0.2),
        events=PublishEvents(),
    )
    revoke = RevokeUseCase(
        participant="31",
        realm=REALM,
        store=store.revoking,
        trust=lambda: view,
        nudge=publisher.nudge,
        clock=ManualClock(),
    )
    request = Request("spiffe://t/issuer/31/x", "r-1", "RevokeCodes", b"digest", NOW + 86_400)
    revoke.revoke([text], RevocationReason.FRAUD, request)
    await publisher.publish_once(first=True)
    trust()
    verdict = Verifier(TrustStore.open(tmp_path / "trust")).verify(text, place="STATION", now=NOW)
    assert (verdict.outcome, verdict.decision) == (Outcome.REVOKED, Decision.REFUSE)
    store.close()


async def test_a_question_becomes_the_home_s_answer(world: World, text: str, tmp_path: Path) -> None:
    """44 asks about a code of 31 through the gateway, and 31's signed answer decides."""
    home = AnswerUseCase(
        participant="31",
        realm=world.realm.realm,
        keyring=world.keyring,
        store=world.store.answering,
        levels=world.levels(),
        trust=world.trust,
        clock=world.clock,
    )

    class Homes:
        async def answer(self, route: Route, question: bytes, timeout_seconds: float) -> bytes:
            return home.answer(question)[0]

    class Quiet:
        def asked(self, home: str, mode: QueryMode, result: str) -> None: ...

        def home_failed(self, home: str, why: str) -> None: ...

    limits, observer = HomeSettings(), Quiet()
    guards = HomeGuards(limits)
    gateway = Asking(
        HomeCalls(Homes(), guards, observer),
        guards,
        trust=world.trust,
        cache=AnswerCache(clock=world.clock, max_entries=10, ttl_seconds=5),
        clock=world.clock,
        observer=observer,
        timeout_seconds=limits.timeout_seconds,
        margin_seconds=limits.margin_seconds,
    )

    async def carry(issuer: str, question: bytes, mode: QueryMode, seconds: float) -> bytes:
        result = await gateway.ask(
            asker="44", issuer=issuer, question=question, mode=mode, remaining_seconds=seconds
        )
        assert isinstance(result, Answered)
        return result.answer

    write_keys(tmp_path / "keys-44", world.realm, "44")
    asker = AskUseCase(
        participant="44",
        realm=world.realm.realm,
        keyring=Keyring(tmp_path / "keys-44", PASSPHRASE, participant="44", realm=world.realm.realm),
        trust=world.trust,
        carry=carry,
        answer_here=lambda data: home.answer(data)[0],
        clock=world.clock,
    )
    result = await asker.ask(text, QueryMode.LIVE, QueryPurpose.TRAVEL, CheckContext(), 5.0)
    assert (result.verdict.outcome, result.verdict.decision) == (Outcome.VALID, Decision.PASS)


def test_a_proposal_becomes_published(registry: Registry, follower: TrustClient) -> None:
    """Two operators sign an admission, and a client of the registry has the province."""
    join = put_join(registry, Province("31", REALM))
    proposal = draft_admission(registry.repository, registry.proposals, [join])
    for name in ("operator-1", "operator-2"):
        sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, name))
    assert set(follower.refresh(NOW).view.issuers) == {"31"}


def code_claims() -> CodeClaims:
    return CodeClaims(
        issuer="31",
        issued_at=NOW - 60,
        expires_at=NOW + 900,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="R1",
        index=day_of(NOW) % 1000,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=secrets.token_bytes(2),
        salt=secrets.token_bytes(8),
        name="张*三",
    )
