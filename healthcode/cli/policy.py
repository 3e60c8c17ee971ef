"""`healthcode policy`: shows the national rules that verdicts follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import CommandGroup, details, json_option, print_result, rows
from healthcode.cli.folder import open_trust, trust_option
from healthcode.clock import SystemClock, rfc3339
from healthcode.policy.book import Policy
from healthcode.policy.decide import Rule
from healthcode.policy.words import PersonCategory, PlaceType
from healthcode.verification.verifier import Verifier

__all__ = ["policy"]

_CONDITIONS = ("outcomes", "levels", "tiers", "places", "areas", "categories")


@click.group(
    cls=CommandGroup,
    lazy={name: f"healthcode.cli.policy_file:{name}" for name in ("diff", "explain", "lint", "test")},
    examples="""
    healthcode policy show
    # a new policy, before people sign it
    healthcode policy lint national.json
    healthcode policy test national.json
    healthcode policy diff national.json
    # the facts of a place
    healthcode policy requirement --place PARK --area 310115
    """,
)
def policy() -> None:
    """Show the policy in force; check, test and compare a new one; explain a level, or what a place asks."""


@policy.command(
    examples="""
    healthcode policy show
    healthcode policy show --json | jq .in_force.version
    """
)
@trust_option("--dir")
@json_option
def show(folder: Path, as_json: bool) -> None:
    """Show the policy in force as a table, in which the first matching rule decides, and when it changes."""
    book, now = open_trust(folder).view.policy, SystemClock().now()
    data = {
        "in_force": _describe(book.in_force(now)),
        "upcoming": [_describe(one) for one in book.upcoming(now)],
    }
    print_result(data, as_json=as_json, table=_table)


@policy.command(
    examples="""
    healthcode policy requirement --place PARK --area 310115
    healthcode policy requirement --place STATION --area 310115 --json | jq -r .requirement
    """
)
@trust_option("--trust")
@click.option(
    "--place", type=click.Choice([*PlaceType], case_sensitive=False), required=True, help="Type of the place."
)
@click.option("--area", required=True, metavar="GB/T 2260", help="The six-digit code of the place's area.")
@click.option(
    "--category",
    type=click.Choice([*PersonCategory], case_sensitive=False),
    default=PersonCategory.GENERAL,
    help="A category of persons for which the policy has rules of its own.",
)
@json_option
def requirement(folder: Path, place: str, area: str, category: str, as_json: bool) -> None:
    """Say whether a place must check codes at all, before anybody shows one. No network is used.

    CHECK_NOT_REQUIRED needs an area of six digits and a file of area risk that has not expired; else the answer is
    CHECK, as under a policy that has no `checks`.
    """
    found = Verifier(open_trust(folder)).requirement(place=place, area=area, category=category)
    print_result(found.to_dict(), as_json=as_json, table=details)


def _describe(one: Policy) -> dict[str, Any]:
    return {
        "version": one.version,
        "effective_from": rfc3339(one.effective_from),
        "emergency": one.emergency,
        "skew_seconds": one.skew_seconds,
        "reuse_seconds": one.reuse_seconds,
        "max_validity_seconds": {str(kind): seconds for kind, seconds in one.max_validity_seconds.items()},
        "freshness": asdict(one.freshness),
        "freshness_by_place": {str(place): asdict(fresh) for place, fresh in one.freshness_by_place.items()},
        "area_default": str(one.area_default),
        "rules": [_rule(rule) for rule in one.rules],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    conditions = {name: _words(getattr(rule, name)) for name in _CONDITIONS}
    return {
        "id": rule.id,
        "when": {name: words for name, words in conditions.items() if words is not None},
        "decision": str(rule.decision),
        "remedy": rule.remedy,
    }


def _words(found: Iterable[str] | None) -> list[str] | None:
    return None if found is None else sorted(str(word) for word in found)


def _table(data: Mapping[str, Any]) -> RenderableType:
    one = data["in_force"]
    fresh = one["freshness"]
    about = {
        "version": one["version"] + (" (EMERGENCY)" if one["emergency"] else ""),
        "in force since": one["effective_from"],
        "trust is": f"FRESH for {fresh['fresh_seconds']} s, AGING for {fresh['aging_seconds']} s, then STALE",
        "other thresholds at": sorted(one["freshness_by_place"]) or None,
        "codes live at most": [
            f"{kind} {seconds} s" for kind, seconds in one["max_validity_seconds"].items()
        ],
        "clocks may differ by": f"{one['skew_seconds']} s",
        "an unlisted area is": one["area_default"],
        "to come": [f"{later['version']} from {later['effective_from']}" for later in data["upcoming"]]
        or "nothing",
    }
    lines = [{**rule, "when": _sentence(rule["when"])} for rule in one["rules"]]
    return Group(
        details(about), Text(), rows(("id", "when", "decision", "remedy"), lines, title="Rules, in order")
    )


def _sentence(when: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(words)}" for name, words in when.items()) or "always"
