"""What ends when: a warning at a third of the life left, and a name for whoever must act."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from healthcode.clock import rfc3339
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.service.deadline import (
    Deadline,
    DeadlineMetrics,
    acts_of,
    certificate_file_deadlines,
    describe_deadline,
    participant_deadlines,
    state_deadlines,
)
from healthcode.signing.purpose import KeyPurpose
from healthcode.telemetry import Metrics
from healthcode.trust.store import TrustStore
from tests.simulator.realm import NOW, SimulatedRealm

DAY = 86_400


def key(**changes: object) -> Deadline:
    values = {
        "kind": "key",
        "name": "31 LIVE",
        "version": "5f0c",
        "begins": 0,
        "ends": 900,
        "who": "the node",
    }
    return Deadline(**{**values, **changes})  # type: ignore[arg-type]  # named as in the class


@pytest.mark.parametrize(
    ("now", "note"),
    [
        (600, "ok"),
        (601, "the node must act before it expires"),
        (899, "the node must act before it expires"),
        (900, "EXPIRED: the node must act now"),
    ],
)
def test_a_warning_begins_at_a_third_of_the_life_left(now: int, note: str) -> None:
    """Two thirds of the life are quiet; after the end it says so."""
    assert key().note(now) == note
    assert bool(acts_of([key()], now)) is (note != "ok")


def test_who_must_act_by_when_is_one_line_each() -> None:
    """What was replaced asks nobody, and says that it ends by itself."""
    lines = acts_of([key(), key(name="31 LIVE before", replaced=True)], 700)
    assert lines == [{"who": "the node", "what": "key 31 LIVE 5f0c", "by": rfc3339(900)}]
    assert key(replaced=True).note(700) == "replaced: ends by itself"
    assert key(replaced=True).note(901) == "ended"


def test_every_role_of_a_trust_folder_has_its_line_and_its_actor(tmp_path: Path) -> None:
    """National roles and each participant's two: version, end, and who renews it."""
    realm = SimulatedRealm()
    realm.publish()
    realm.client(tmp_path).refresh(NOW)
    state = TrustStore.open(tmp_path).state
    lines = {line["role"]: line for line in (describe_deadline(each, NOW) for each in state_deadlines(state))}
    national = {"root", "timestamp", "snapshot", "targets", "areas"}
    assert national < set(lines)
    assert {"province-31", "province-31-live"} < set(lines)
    assert all(isinstance(line["version"], int) and line["note"] == "ok" for line in lines.values())
    actors = {each.name: each.who for each in state_deadlines(state)}
    assert actors["root"] == "root holders (`trust-registry propose renewal root`)"
    assert actors["targets"] == "operators (`trust-registry propose renewal targets`)"
    assert actors["province-31"] == "the authority of Shanghai"
    assert actors["province-31-live"] == "the node of Shanghai"
    assert {each.name for each in state_deadlines(state, ())} == national
    # and of each published key and CA of a participant
    document = state.issuers["31"].authority.province
    assert {each.version for each in participant_deadlines("31", document) if each.kind == "key"} == {
        published.kid.hex() for published in document.keys
    }
    # a key that was killed is called that, and nobody must renew it
    killed = next(each for each in document.keys if each.purpose is KeyPurpose.LIVE).kid
    (line,) = [
        each for each in participant_deadlines("31", document, {killed}) if each.version == killed.hex()
    ]
    assert line.note(NOW) == "killed: what it signed is refused for ever"
    assert not line.must_act(line.ends)


def test_certificates_are_read_from_their_files(tmp_path: Path) -> None:
    """A leaf or a CA, with its own life; what cannot be read is for `check` to say."""
    (tmp_path / "ca.pem").write_bytes(make_ca("a CA", days=30, now=NOW).certificate_pem)
    (tmp_path / "bad.pem").write_text("no certificate")
    files = {name: (tmp_path / f"{name}.pem", "its holder") for name in ("ca", "bad", "missing")}
    (found,) = certificate_file_deadlines(files)
    assert (found.kind, found.name) == ("certificate", "ca")
    assert not found.must_act(NOW + 19 * DAY)
    assert found.must_act(NOW + 21 * DAY)


def test_metrics_show_what_ends_and_forget_what_is_gone() -> None:
    """Both gauges by kind and name; a key that was replaced is no longer waited for."""
    metrics = Metrics("province-node")
    shown = DeadlineMetrics.of_service(metrics)
    shown.set([key(), key(name="31 PAPER")])
    shown.set([key(), key(name="31 PAPER", replaced=True)])
    text = generate_latest(metrics.registry).decode()
    assert 'healthcode_warns_timestamp_seconds{kind="key",name="31 LIVE"} 600.0' in text
    assert 'healthcode_ends_timestamp_seconds{kind="key",name="31 LIVE"} 900.0' in text
    assert "31 PAPER" not in text
