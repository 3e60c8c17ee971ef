"""Renders a verdict, and chooses the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from healthcode.cli.console import EXIT_FURTHER_CHECK, EXIT_REFUSED
from healthcode.clock import rfc3339
from healthcode.errors import NotFoundError
from healthcode.identity.participant import participant
from healthcode.policy.words import Decision
from healthcode.verification.verdict import Verdict
from healthcode.wire.holder_tag import HolderMatch

__all__ = ["exit_status", "verdict_line", "verdict_panel"]

_COLOURS = {
    Decision.PASS: "green",
    Decision.CHECK_NOT_REQUIRED: "green",
    Decision.FURTHER_CHECK: "yellow",
    Decision.UNDECIDED: "yellow",
    Decision.REFUSE: "red",
}
_WORDS = {
    Decision.PASS: "PASS  通行",
    Decision.CHECK_NOT_REQUIRED: "CHECK NOT REQUIRED  免查",
    Decision.FURTHER_CHECK: "FURTHER CHECK  进一步核查",
    Decision.UNDECIDED: "UNDECIDED  无法判定",
    Decision.REFUSE: "REFUSE  不予通行",
}


def exit_status(verdicts: Iterable[Verdict]) -> int:
    """0 if every verdict passes, 1 if any is REFUSE, else 3."""
    decisions = {verdict.decision for verdict in verdicts}
    if Decision.REFUSE in decisions:
        return EXIT_REFUSED
    return 0 if decisions <= {Decision.PASS, Decision.CHECK_NOT_REQUIRED} else EXIT_FURTHER_CHECK


def verdict_line(verdict: Verdict) -> str:
    """The verdict as one line of JSON."""
    return json.dumps(verdict.to_dict(), ensure_ascii=False, separators=(",", ":"))


def verdict_panel(verdict: Verdict) -> RenderableType:
    """The verdict for people: what to do, why, and how current the trust is."""
    colour = _COLOURS.get(verdict.decision, "yellow")
    heading = Text(_WORDS.get(verdict.decision, str(verdict.decision)), style=f"bold {colour}")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(verdict):
        facts.add_row(name, Text(value))
    return Panel(
        Group(heading, Text(), facts),
        # the position of the code in the input
        title=f"no. {verdict.item_id}" if verdict.item_id else None,
        title_align="left",
        border_style=colour,
        expand=False,
        padding=(1, 3),
    )


def _facts(verdict: Verdict) -> Iterable[tuple[str, str]]:
    yield "outcome", f"{verdict.outcome}{f' ({verdict.detail})' if verdict.detail else ''}"
    if verdict.remedy:
        yield "what to do", verdict.remedy
    if verdict.level is not None:
        yield "level", str(verdict.level)
    if verdict.masked_name:
        yield "name", verdict.masked_name + (" (shown by a relative)" if verdict.shown_by_relative else "")
    if verdict.holder_match is not HolderMatch.NOT_CHECKED:
        yield "holder", str(verdict.holder_match)
    if verdict.issuer:
        yield "issuer", _issuer(verdict.issuer)
    if verdict.code_expires_at is not None:
        yield "expires", f"{rfc3339(verdict.code_expires_at)}, {verdict.presentation}"
    if verdict.place_type is not None:
        area = f", area {verdict.area_code}" if verdict.area_code else ""
        yield "decided for", f"{verdict.place_type}{area}, {verdict.person_category}"
    yield "rule", f"{verdict.rule or 'none'}, policy {verdict.policy_version}"
    if verdict.issuer:
        yield "trust", f"{verdict.trust_tier}, {_age(verdict.trust_age_seconds)} old, realm {verdict.realm}"
    yield "checked", rfc3339(verdict.evaluated_at)
    if verdict.warnings:
        yield "note", ", ".join(verdict.warnings)


def _issuer(code: str) -> str:
    try:
        found = participant(code)
    except NotFoundError:
        return code
    return f"{code} {found.english} {found.chinese}"


def _age(seconds: int) -> str:
    """An age in a readable unit, e.g. 45 s, 12 min, 5 h, 3 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
