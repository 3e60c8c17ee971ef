"""Which nodes are current, lagging or silent, and which reports are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest

from healthcode.audit.alarm import AuditAlarm, RaisedAlarm
from healthcode.errors import DecodeError, InvalidInputError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.service.reporter import describe_state
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2 import ReportNodeStateRequest
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry
from tests.world.clock import ManualClock
from trust_registry.__main__ import cli
from trust_registry.metrics import NodeMetrics
from trust_registry.monitoring.node_lag import Lag, NodeLag, lags_of, without_targets
from trust_registry.monitoring.status import describe_node
from trust_registry.participants.node_reports import NodeReport, NodeReportStore, take_report
from trust_registry.participants.submission import Publisher
from trust_registry.registry import Registry
from trust_registry.tree.files import TIMESTAMP_FILE

REALM = "test-registry"
SHANGHAI = PeerId(REALM, PeerKind.PROVINCE, "31")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock) -> Registry:
    made = found_registry(tmp_path / "registry", clock=clock)
    provinces = [Province("31", REALM), Province("44", REALM)]
    admit(made, *provinces)
    for province in provinces:
        metadata, head = province.live_publication(1)
        Publisher(made.repository).publish_revocations(province.code, metadata, head, {})
    return made


@pytest.fixture
def store(registry: Registry) -> NodeReportStore:
    return NodeReportStore(registry.folder.nodes)


def view_of(registry: Registry, folder: Path) -> TrustView:
    source = FolderSource(registry.folder.repository)
    init_trust(folder, source, root_fingerprint(registry.repository.tree.read(metadata_file("root", 1))))
    return TrustClient(folder, source).refresh(registry.clock.now()).view


def request_of(registry: Registry, view: TrustView, *, offset: int | None = 0) -> ReportNodeStateRequest:
    request = describe_state(
        view, software="province-node 0.1.0", now=registry.clock.now(), clock_offset_seconds=offset
    )
    request.timestamp = registry.repository.tree.read(TIMESTAMP_FILE)
    return request


def report(
    registry: Registry, store: NodeReportStore, request: ReportNodeStateRequest, peer: PeerId = SHANGHAI
) -> NodeReport:
    published = registry.repository.published()
    found = take_report(peer, request, published, store.find(peer.participant or ""), registry.clock.now())
    store.put(found)
    return found


def lags(registry: Registry, store: NodeReportStore) -> dict[str, NodeLag]:
    published, now = registry.repository.published(), registry.clock.now()
    return {each.node: each for each in lags_of(published, store.all(), now, interval_seconds=60)}


def test_who_never_reported_is_unknown_and_who_is_current_is_told_so(
    registry: Registry, store: NodeReportStore, tmp_path: Path
) -> None:
    """A node is UNKNOWN until it reports; a report of the published versions makes it CURRENT."""
    assert {each.state for each in lags(registry, store).values()} == {Lag.UNKNOWN}
    report(registry, store, request_of(registry, view_of(registry, tmp_path / "trust")))
    found = lags(registry, store)
    assert (found["31"].state, found["44"].state) == (Lag.CURRENT, Lag.UNKNOWN)
    # 44 was never heard, and 31 has not told that it has the next targets
    version = registry.repository.published().version_of("targets")
    assert without_targets(found.values(), version) == ("44",)
    assert without_targets(found.values(), version + 1) == ("31", "44")


def test_who_falls_silent_is_unknown_since_its_last_word(
    registry: Registry, store: NodeReportStore, clock: ManualClock, tmp_path: Path
) -> None:
    """After three intervals of silence a node is UNKNOWN, since its last report."""
    report(registry, store, request_of(registry, view_of(registry, tmp_path / "trust")))
    clock.at += 180
    assert lags(registry, store)["31"].state is Lag.CURRENT
    clock.at += 1
    found = lags(registry, store)["31"]
    assert (found.state, found.since) == (Lag.UNKNOWN, NOW)


def test_who_gets_nothing_newer_lags_since_the_time_of_what_it_has(
    registry: Registry, store: NodeReportStore, clock: ManualClock, tmp_path: Path
) -> None:
    """A node that is cut off still reports, with an old timestamp: LAGGING until it has caught up."""
    view = view_of(registry, tmp_path / "trust")
    old = request_of(registry, view)
    for _ in range(4):
        clock.at += 60
        registry.repository.renew()
        report(registry, store, old)
    found = lags(registry, store)["31"]
    assert (found.state, found.since) == (Lag.LAGGING, NOW)
    report(registry, store, request_of(registry, view))
    assert lags(registry, store)["31"].state is Lag.CURRENT


def test_whose_clock_is_wrong_is_no_longer_current(
    registry: Registry, store: NodeReportStore, tmp_path: Path
) -> None:
    """Off by more than the policy's skew, a node is CLOCK_AHEAD or CLOCK_BEHIND, before anything that follows from it."""
    view = view_of(registry, tmp_path / "trust")
    for offset, state in (
        (86_400, Lag.CLOCK_AHEAD),
        (301, Lag.CLOCK_AHEAD),
        (300, Lag.CURRENT),
        (-300, Lag.CURRENT),
        (-301, Lag.CLOCK_BEHIND),
    ):
        report(registry, store, request_of(registry, view, offset=offset))
        assert lags(registry, store)["31"].state is state


def test_who_refuses_a_neighbours_head_lags_by_name(
    registry: Registry, store: NodeReportStore, clock: ManualClock, tmp_path: Path
) -> None:
    """The snapshot is the newest and one head is older: LAGGING since the first such report, and the head is named."""
    view = view_of(registry, tmp_path / "trust")
    refusing = replace(view, issuers={**view.issuers, "44": replace(view.issuers["44"], live_version=0)})
    for _ in range(3):
        report(registry, store, request_of(registry, refusing))
        clock.at += 60
    found = lags(registry, store)["31"]
    assert (found.state, found.since, found.behind) == (Lag.LAGGING, NOW, ("province-44-live 0 < 1",))
    report(registry, store, request_of(registry, view))
    assert lags(registry, store)["31"].state is Lag.CURRENT


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"realm": "test-other"}, Reason.REALM_MISMATCH),
        ({"software": ""}, Reason.INVALID_REQUEST),
        ({"software": "x" * 65}, Reason.INVALID_REQUEST),
        ({"software": "a\nb"}, Reason.INVALID_REQUEST),
        ({"policy_version": ""}, Reason.INVALID_REQUEST),
        ({"head_versions": {"../../x": 1}}, Reason.INVALID_REQUEST),
        ({"head_versions": {f"{number:02}x": 1 for number in range(120)}}, Reason.INVALID_REQUEST),
        ({"timestamp": b""}, Reason.MALFORMED_MESSAGE),
        ({"timestamp": b"{}"}, Reason.MALFORMED_MESSAGE),
    ],
)
def test_a_report_of_another_form_is_refused_and_the_last_one_stays(
    registry: Registry, store: NodeReportStore, tmp_path: Path, change: dict[str, object], reason: Reason
) -> None:
    """A malformed report is refused with its reason and changes nothing."""
    request = request_of(registry, view_of(registry, tmp_path / "trust"))
    kept = report(registry, store, request)
    for name, value in change.items():
        if isinstance(value, dict):
            request.head_versions.clear()
            request.head_versions.update(value)
        else:
            setattr(request, name, value)
    with pytest.raises((InvalidInputError, DecodeError)) as refused:
        report(registry, store, request)
    assert refused.value.reason is reason
    assert store.all() == {"31": kept}


def test_operators_see_who_has_what_against_whose_audit_log(
    registry: Registry, store: NodeReportStore, tmp_path: Path
) -> None:
    """By node, province and word, in `nodes` and in the metrics; a word of newer software is left out, garbage refused."""
    view = view_of(registry, tmp_path / "trust")
    request = request_of(registry, view)
    told = describe_state(
        view,
        software="province-node 0.1.0",
        now=NOW,
        audit_alarms=[RaisedAlarm("44", AuditAlarm.FORK, NOW), RaisedAlarm("44", AuditAlarm.RESTARTED, NOW)],
    )
    request.audit_alarms.extend(told.audit_alarms)
    request.audit_alarms.add(participant="44", alarm="AUDIT_OF_2030")
    report(registry, store, request)
    found = list(lags(registry, store).values())
    line = describe_node(lags(registry, store)["31"], registry.repository.published())
    assert [(each["participant"], each["alarm"]) for each in line["audit_alarms"]] == [
        ("44", "AUDIT_FORK"),
        ("44", "AUDIT_RESTARTED"),
    ]
    metrics = Metrics("test-audit")
    NodeMetrics(metrics).measure(found, registry.repository.published())
    page = generate_latest(metrics.registry).decode()
    assert 'registry_node_audit_alarm{alarm="AUDIT_FORK",node="31",participant="44"} 1.0' in page
    for wrong in (
        {"participant": "x", "alarm": "AUDIT_FORK"},
        {"participant": "4" * 99, "alarm": "AUDIT_FORK"},
    ):
        request.audit_alarms.add(**wrong)
        with pytest.raises(InvalidInputError):
            report(registry, store, request)
        del request.audit_alarms[-1]
    request.audit_alarms.extend([told.audit_alarms[0]] * 300)
    with pytest.raises(InvalidInputError):
        report(registry, store, request)


def test_a_damaged_report_file_is_a_silent_node(registry: Registry, store: NodeReportStore) -> None:
    """A damaged or foreign file counts as no report."""
    registry.folder.nodes.mkdir()
    (registry.folder.nodes / "31.json").write_text('{"format": "healthcode/node-re')
    (registry.folder.nodes / "44.json").write_text('{"node": "44"}')
    assert {each.state for each in lags(registry, store).values()} == {Lag.UNKNOWN}


def test_nodes_shows_it_and_metrics_measure_it(
    registry: Registry, store: NodeReportStore, tmp_path: Path
) -> None:
    """`nodes` shows each node, UNKNOWN while no server can receive reports; metrics have no label but the participant's code."""
    report(registry, store, request_of(registry, view_of(registry, tmp_path / "trust"), offset=-90))
    result = CliRunner().invoke(cli, ["nodes", "--dir", str(registry.folder.root), "--json"])
    assert result.exit_code == 4
    assert "so no node can report (the last report is of " in result.stderr
    lines = {line["node"]: line for line in json.loads(result.stdout)["nodes"]}
    assert (lines["31"]["state"], lines["31"]["since"]) == ("UNKNOWN", lines["31"]["reported"])
    assert lines["44"] == {
        "node": "44",
        "title": "广东 Guangdong",
        "state": "UNKNOWN",
        "since": None,
        "behind": [],
    }
    assert lines["31"]["software"] == "province-node 0.1.0"
    assert lines["31"]["clock_offset_seconds"] == -90
    assert lines["31"]["head_versions"] == {"31": 1, "44": 1}
    table = CliRunner().invoke(cli, ["nodes", "--dir", str(registry.folder.root)])
    assert "UNKNOWN" in table.output
    assert "What each decides with" in table.output
    metrics = Metrics("trust-registry")
    NodeMetrics(metrics).measure(list(lags(registry, store).values()), registry.repository.published())
    text = generate_latest(metrics.registry).decode()
    assert 'healthcode_registry_node_clock_offset_seconds{node="31"} -90.0' in text
    assert 'healthcode_registry_nodes{state="UNKNOWN"} 1.0' in text
    assert 'healthcode_registry_node_state{node="44"} 2.0' in text
