"""A policy or areas file of a newer format waits until every node reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthcode.errors import PreconditionError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy import area, book_file
from healthcode.policy.area import AreaRisk, encode_areas
from healthcode.policy.book_file import default_policy_bytes
from healthcode.service import reporter
from healthcode.service.reporter import describe_state
from healthcode.trust.client import TrustClient
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.trust.view import TrustView
from tests.simulator.realm import NOW, PEM
from tests.simulator.registry import Province, admit, found_registry, operator
from tests.world.clock import ManualClock
from tests.world.command import run_here
from trust_registry.__main__ import cli
from trust_registry.participants.node_reports import NodeReportStore, take_report
from trust_registry.proposals.areas.approval import AreaApprovalStore
from trust_registry.proposals.areas.approve import approve_areas, keep_for_approval, publish_approved_areas
from trust_registry.proposals.drafts import draft_policy, draft_service
from trust_registry.proposals.publish import publish_proposal
from trust_registry.proposals.sign import sign_proposal
from trust_registry.registry import Registry, open_registry
from trust_registry.tree.files import TIMESTAMP_FILE

REALM = "test-registry"
PEERS = {
    "31": PeerId(REALM, PeerKind.PROVINCE, "31"),
    "44": PeerId(REALM, PeerKind.PROVINCE, "44"),
    "gateway": PeerId(REALM, PeerKind.GATEWAY),
}
READS = 2
OPERATORS = ("operator-1", "operator-2")


@pytest.fixture(autouse=True)
def _formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry itself is upgraded: it reads format 2."""
    monkeypatch.setattr(book_file, "NEWEST_POLICY_FORMAT", READS)
    monkeypatch.setattr(area, "NEWEST_AREAS_FORMAT", READS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock) -> Registry:
    """Two provinces and a gateway, of which nobody has reported."""
    made = found_registry(tmp_path / "registry", clock=clock)
    admit(made, Province("31", REALM), Province("44", REALM))
    entry = ServiceEntry(ca_pem=PEM, endpoint="127.0.0.1:7445")
    sign(made, draft_service(made.repository, made.proposals, "gateway", entry).id)
    clock.at = NOW + 60
    return made


@pytest.fixture
def view(registry: Registry, tmp_path: Path) -> TrustView:
    source = FolderSource(registry.folder.repository)
    root = registry.repository.tree.read(metadata_file("root", 1))
    init_trust(tmp_path / "trust", source, root_fingerprint(root))
    return TrustClient(tmp_path / "trust", source).refresh(registry.clock.now()).view


def sign(registry: Registry, proposal: str, names: tuple[str, ...] = OPERATORS) -> bool:
    """Whether it is published."""
    found = [
        sign_proposal(registry.repository, registry.proposals, proposal, operator(registry, name))
        for name in names
    ]
    return found[-1].receipt is not None


def report(registry: Registry, view: TrustView, node: str, **formats: int | None) -> None:
    """A node's report; a format that is None is not in it, as in the reports of older software."""
    request = describe_state(view, software=f"node {node}", now=registry.clock.now())
    request.timestamp = registry.repository.tree.read(TIMESTAMP_FILE)
    for name in ("policy_format", "areas_format"):
        request.ClearField(name)
        if (value := formats.get(name, READS)) is not None:
            setattr(request, name, value)
    NodeReportStore(registry.folder.nodes).put(
        take_report(PEERS[node], request, registry.repository.published(), None, registry.clock.now())
    )


def policy(number: int = READS, version: str = "2030.1") -> bytes:
    book = json.loads(default_policy_bytes())
    coming = {**book["policies"][-1], "version": version, "effective_from": "2030-01-01T00:00:00Z"}
    written = {"format": f"healthcode/policy/{number}", "policies": [*book["policies"], coming]}
    return json.dumps(written).encode()


def areas(number: int = READS, as_of: int = NOW + 60) -> bytes:
    return encode_areas(AreaRisk(as_of, {})).replace(b"areas/1", f"areas/{number}".encode())


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(PreconditionError) as caught:
        act()
    assert caught.value.reason is Reason.FORMAT_NEWER
    return caught.value.message


def test_a_report_says_which_formats_are_read(view: TrustView) -> None:
    """A service reports the newest format of each kind that its software reads."""
    request = describe_state(view, software="node 1", now=NOW)
    assert (request.policy_format, request.areas_format) == (
        reporter.NEWEST_POLICY_FORMAT,
        reporter.NEWEST_AREAS_FORMAT,
    )
    assert request.policy_format >= 1


def test_a_policy_is_proposed_when_the_last_node_reads_it(registry: Registry, view: TrustView) -> None:
    """Who never reported, who reports less and who reports nothing of it are named; format 1 asks nobody."""

    def propose() -> object:
        return draft_policy(registry.repository, registry.proposals, policy())

    message = refused(propose)
    assert message.startswith("policy of format 2 cannot be published yet")
    for named in ("31 Shanghai never reported", "44 Guangdong never reported", "gateway never reported"):
        assert named in message
    report(registry, view, "31")
    report(registry, view, "44", policy_format=None)
    report(registry, view, "gateway", policy_format=1)
    message = refused(propose)
    assert "31" not in message
    assert "44 Guangdong reads up to format 1 (node 44)" in message
    assert "gateway reads up to format 1 (node gateway)" in message
    draft_policy(registry.repository, registry.proposals, policy(1))
    for node in ("44", "gateway"):
        report(registry, view, node)
    propose()


def test_it_is_checked_again_when_it_is_signed_and_published(registry: Registry, view: TrustView) -> None:
    """A node that was put back to older software meanwhile stops the last signature, and a late publication."""
    for node in PEERS:
        report(registry, view, node)
    proposal = draft_policy(registry.repository, registry.proposals, policy())
    sign(registry, proposal.id, OPERATORS[:1])
    report(registry, view, "44", policy_format=1)
    assert "44 Guangdong" in refused(lambda: sign(registry, proposal.id, OPERATORS[1:]))
    report(registry, view, "44")
    elsewhere = open_registry(registry.folder, registry.clock, {}, with_keys=False)
    assert not sign(elsewhere, proposal.id, OPERATORS[1:])
    report(registry, view, "44", policy_format=1)
    assert "44 Guangdong" in refused(
        lambda: publish_proposal(registry.repository, registry.proposals, proposal.id)
    )
    report(registry, view, "44")
    publish_proposal(registry.repository, registry.proposals, proposal.id)


def test_a_format_that_is_published_asks_nobody(registry: Registry, view: TrustView) -> None:
    """Once format 2 is out, a node that does not read it keeps no further policy from the others, and lags by name."""
    for node in PEERS:
        report(registry, view, node)
    assert sign(registry, draft_policy(registry.repository, registry.proposals, policy()).id)
    old = replace(view, targets_version=registry.repository.published().version_of("targets"))
    report(registry, old, "44", policy_format=1)
    next_policy = policy(version="2030.2")
    assert sign(registry, draft_policy(registry.repository, registry.proposals, next_policy).id)
    (node,) = (each for each in nodes(registry)["nodes"] if each["node"] == "44")
    assert (node["policy_format"], node["areas_format"]) == (1, 2)


def nodes(registry: Registry) -> dict[str, list[dict[str, object]]]:
    done = CliRunner().invoke(cli, ["nodes", "--dir", str(registry.folder.root), "--json"])
    found: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return found


def test_areas_wait_for_every_node_too(registry: Registry, view: TrustView) -> None:
    """Proposing, approving and publishing areas of a newer format each ask the reports; format 1 asks nobody."""
    store = AreaApprovalStore(registry.folder.areas, registry.events)
    for node in PEERS:
        report(registry, view, node, areas_format=1 if node == "44" else READS)
    for act in (
        lambda: keep_for_approval(registry.repository, store, areas()),
        lambda: approve_areas(registry.repository, store, areas(), operator(registry, OPERATORS[0])),
    ):
        message = refused(act)
        assert "areas of format 2" in message
        assert "44 Guangdong reads up to format 1" in message
        assert "31" not in message
    keep_for_approval(registry.repository, store, areas(1))
    report(registry, view, "44")
    elsewhere = open_registry(registry.folder, registry.clock, {}, with_keys=False)
    for name in OPERATORS:
        approve_areas(elsewhere.repository, store, areas(as_of=NOW + 90), operator(registry, name))
    report(registry, view, "44", areas_format=1)
    refused(lambda: publish_approved_areas(registry.repository, store))
    report(registry, view, "44")
    assert publish_approved_areas(registry.repository, store) is not None


def test_the_command_names_who_must_be_upgraded(registry: Registry, tmp_path: Path) -> None:
    """`propose` ends with an error that the operator can act on."""
    file = tmp_path / "national.json"
    file.write_bytes(policy())
    done = run_here(cli, "propose", "policy", file, "--dir", registry.folder.root)
    assert done.status == 1
    assert "44 Guangdong never reported, which counts as format 1" in " ".join(done.err.split())
