"""What people must renew, as a verifier is told it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from healthcode.cli.expiry import DeadlineReporter, ending_warnings, renewed_by_people
from healthcode.cli.summary import describe_trust
from healthcode.telemetry import Metrics
from healthcode.trust.store import TrustStore
from tests.simulator.realm import NOW

DAY = 86_400


def test_a_verifier_is_told_from_a_third_of_the_life_left(trust: Path) -> None:
    """Targets and the provinces' files after 60 of 90 days, root not yet; before that nothing at all."""
    store = TrustStore.open(trust)
    names = {each.name for each in renewed_by_people(store.state)}
    assert {"root", "targets", "province-31"} <= names
    assert not names & {"timestamp", "snapshot", "areas", "province-31-live"}
    early = describe_trust(store, NOW + 59 * DAY)
    assert early["act"] == []
    assert not any("must act" in each for each in early["warnings"])
    late = describe_trust(store, NOW + 61 * DAY)
    told = {act["what"].split()[1]: act["who"] for act in late["act"]}
    assert set(told) == names - {"root"}
    assert told["targets"] == "operators (`trust-registry propose renewal targets`)"
    assert told["province-31"] == "the authority of Shanghai"
    assert any(each.startswith("role targets ends ") for each in late["warnings"])
    assert any(
        each.startswith("role targets has ended ")
        for each in ending_warnings(renewed_by_people(store.state), NOW + 91 * DAY)
    )


def test_who_follows_a_folder_says_it_in_the_log_and_in_metrics(
    trust: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Once a day for each in the log; when it ends, and from when on it warns, on /metrics."""
    state = TrustStore.open(trust).state
    metrics = Metrics("healthcode-trust")
    teller = DeadlineReporter(metrics)
    teller.report(state, NOW + 59 * DAY)
    # where it goes depends on whether a test before has configured logging
    assert "trust_ends" not in "".join((*capfd.readouterr(), caplog.text))
    teller.report(state, NOW + 61 * DAY)
    teller.report(state, NOW + 61 * DAY + 60)
    assert "".join((*capfd.readouterr(), caplog.text)).count("role targets ") == 1
    shown = generate_latest(metrics.registry).decode()
    assert 'healthcode_warns_timestamp_seconds{kind="role",name="province-31"}' in shown
    assert 'healthcode_ends_timestamp_seconds{kind="role",name="targets"}' in shown
