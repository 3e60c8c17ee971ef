"""deploy/alerts.yaml: each rule is whole, and speaks of metrics that our services have.

PromQL itself, and when each alert fires, are held by `make alerts`, with promtool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
METRIC = re.compile(r"\bhealthcode_[a-z_]+\b")
MADE = re.compile(r"\.(?:counter|gauge|histogram)\(\s*\"([a-z_]+)\"")


def load(name: str) -> Any:
    return YAML(typ="safe").load(DEPLOY / name)  # it refuses a key that stands twice


def rules() -> list[dict[str, Any]]:
    return [rule for group in load("alerts.yaml")["groups"] for rule in group["rules"]]


def metrics_made() -> Iterator[str]:
    """The name of every metric that our code makes."""
    for package in ("healthcode", "trust_registry", "province_node", "gateway"):
        for path in (ROOT / package).rglob("*.py"):
            yield from (f"healthcode_{name}" for name in MADE.findall(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_it_is_what_to_do_and_whom_it_wakes(rule: dict[str, Any]) -> None:
    """A tired operator can act on it."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action"}
    assert re.fullmatch(r"[0-9]+[smh]", rule.get("for", "0s"))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_speaks_of_metrics_that_there_are(rule: dict[str, Any]) -> None:
    """A renamed metric would silence an alert without a word."""
    named = set(METRIC.findall(rule["expr"]))
    assert named or rule["expr"].startswith("up{"), "a metric of ours, or Prometheus's own `up`"
    assert named <= set(metrics_made())


def test_lag_expiry_and_clocks_have_alerts_of_which_the_tests_know() -> None:
    """What promtool tries out stands in the rules, and Prometheus is told to read them."""
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert {"ThirdOfLifeLeft", "Expired", "NodeLags", "NodeSilent", "NodeClockWrong"} <= set(names)
    tried = {
        case["alertname"] for test in load("alerts.test.yaml")["tests"] for case in test["alert_rule_test"]
    }
    assert tried <= set(names)
    assert load("prometheus.yaml")["rule_files"] == ["alerts.yaml"]


@pytest.mark.parametrize("page", ["operating.md", "operating.zh-CN.md"])
def test_the_operating_page_says_what_each_alert_means(page: str) -> None:
    """Who is woken finds the alert by its name, in the table under “Monitor”."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert {rule["alert"] for rule in rules()} - set(re.findall(r"`(\w+)`", text)) == set()
