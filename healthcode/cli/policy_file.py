"""`healthcode policy lint, test, diff, explain`: what a policy file does, before people sign it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import EXIT_REFUSED, Command, details, exit_with, json_option, print_result, rows
from healthcode.cli.folder import open_trust, trust_option
from healthcode.cli.table import lines
from healthcode.clock import SystemClock, parse_rfc3339, rfc3339
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.identity.participant import participant as check_participant
from healthcode.policy.area import MAX_AREAS_BYTES, AreaRisk, decode_areas
from healthcode.policy.book import PolicyBook
from healthcode.policy.book_file import MAX_POLICY_BYTES, decode_policy
from healthcode.policy.diff.policy_diff import find_policy_changes, policy_lines
from healthcode.policy.levels.derive import Ground
from healthcode.policy.levels.explanation import explain_level
from healthcode.policy.levels.rules import LevelRules
from healthcode.policy.lint.areas_lint import lint_areas
from healthcode.policy.lint.example import evidence_of, lint_evidence, run_examples
from healthcode.policy.lint.policy_lint import lint_policy
from healthcode.policy.lint.problem import Problem, Severity, check_problems
from healthcode.storage.reading import read_named
from healthcode.strict_json import load_json

__all__ = ["diff", "explain", "lint", "test"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_MAX_EVIDENCE_BYTES = 1 << 20
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


@click.command(
    cls=Command,
    examples="""
    healthcode policy lint national.json
    # a file of area risk too
    healthcode policy lint risk.json
    healthcode policy lint national.json --json | jq -r '.problems[] | .path + ": " + .text'
    """,
)
@click.argument("file", type=_FILE)
@json_option
def lint(file: Path, as_json: bool) -> None:
    """Show all that is wrong with a policy or areas file. An ERROR is never proposed, signed or published.

    Exit status: 0 no error, 1 an error, 2 the file cannot be read.
    """
    data = read_named(file, MAX_AREAS_BYTES)
    _print_problems(file, lint_areas(data) if _is_areas(data) else lint_policy(data), as_json=as_json)


def _is_areas(data: bytes) -> bool:
    try:
        document = load_json(data, MAX_AREAS_BYTES)
    except DecodeError:
        return False
    return isinstance(document, dict) and str(document.get("format")).startswith("healthcode/areas/")


def _print_problems(file: Path, problems: Sequence[Problem], *, as_json: bool) -> None:
    counts = {severity: sum(each.severity is severity for each in problems) for severity in Severity}
    data = {
        "file": str(file),
        "errors": counts[Severity.ERROR],
        "warnings": counts[Severity.WARNING],
        "problems": [
            {"path": each.path, "text": each.text, "severity": each.severity.value} for each in problems
        ],
    }
    print_result(data, as_json=as_json, table=_problem_table)
    if counts[Severity.ERROR]:
        exit_with(EXIT_REFUSED)


def _problem_table(data: Mapping[str, Any]) -> RenderableType:
    found = [
        Text.assemble(
            (each["severity"], _STYLES[Severity(each["severity"])]), f" {each['path']}: {each['text']}"
        )
        for each in data["problems"]
    ]
    return lines([*found, f"{data['file']}: {data['errors']} errors, {data['warnings']} warnings"])


@click.command(
    cls=Command,
    examples="""
    healthcode policy test national.json
    """,
)
@click.argument("file", type=_FILE)
@json_option
def test(file: Path, as_json: bool) -> None:
    """Derive the level of every example in a policy file, and compare it with what the example says.

    Exit status: 0 all are met, 1 one is not or the file has an error, 2 the file cannot be read.
    """
    data = read_named(file, MAX_POLICY_BYTES)
    problems = [each for each in lint_policy(data) if each.severity is Severity.ERROR]
    if problems:
        _print_problems(file, problems, as_json=as_json)
    written = {each["version"]: each for each in load_json(data, MAX_POLICY_BYTES)["policies"]}
    results = [
        {
            "policy": policy.version,
            "rule": each.of,
            "example": each.note,
            "met": each.is_met,
            "expected": " ".join(each.expected).strip(),
            "derived": " ".join(each.derived).strip(),
        }
        for policy in decode_policy(data).policies
        for each in run_examples(policy, written[policy.version])
    ]
    failed = sum(not result["met"] for result in results)
    shown = {"file": str(file), "examples": len(results), "failed": failed, "results": results}
    columns = ("policy", "rule", "example", "met", "expected", "derived")
    title = f"{len(results)} examples, {failed} not met"
    print_result(shown, as_json=as_json, table=lambda each: rows(columns, each["results"], title=title))
    if failed:
        exit_with(EXIT_REFUSED)


@click.command(
    cls=Command,
    examples="""
    # against the policy in force, as this machine's trust folder has it
    healthcode policy diff national.json
    healthcode policy diff old.json new.json
    """,
)
@click.argument("files", metavar="[OLD] NEW", nargs=-1, required=True, type=_FILE)
@trust_option("--dir")
@json_option
def diff(files: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Show what a new policy changes: a sentence, the decisions that flip, the level rules, whose level comes back."""
    if len(files) > 2:
        raise click.UsageError("give one file, or two: the old and the new")
    new = read_named(files[-1], MAX_POLICY_BYTES)
    if len(files) == 2:
        old = read_named(files[0], MAX_POLICY_BYTES)
    else:
        old = open_trust(folder).state.files.national.policy
    changes = find_policy_changes(old, new)
    data = {"changes": [each.to_dict() for each in changes]}
    print_result(data, as_json=as_json, table=lambda _: lines(policy_lines(changes)))


def _read_policy(file: Path) -> PolicyBook:
    return decode_policy(read_named(file, MAX_POLICY_BYTES))


@click.command(
    cls=Command,
    examples="""
    healthcode policy explain --evidence evidence.json --at 2027-01-10T08:00:00Z --policy national.json
    # stays need the risk of areas
    healthcode policy explain --evidence evidence.json --areas risk.json --policy national.json --participant 31
    """,
)
@click.option(
    "--evidence", type=_FILE, required=True, help="A JSON list of evidence, as in a rule's examples."
)
@click.option(
    "--at", "moment", help="The time to derive the level for, as 2027-01-10T08:00:00Z; now if left out."
)
@click.option(
    "--policy", "policy_file", type=_FILE, help="A policy file; that of the trust folder if left out."
)
@click.option(
    "--areas", "areas_file", type=_FILE, help="areas/risk.json; that of the trust folder if left out."
)
@click.option("--participant", default="44", show_default=True, help="The home: two digits.")
@trust_option("--dir")
@json_option
def explain(
    evidence: Path,
    moment: str | None,
    policy_file: Path | None,
    areas_file: Path | None,
    participant: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Derive a level from evidence: every ground, and why each other rule has none."""
    check_participant(participant)
    now = SystemClock().now() if moment is None else _time(moment)
    book = open_trust(folder).view.policy if policy_file is None else _read_policy(policy_file)
    policy = book.in_force(now)
    if policy.levels is None:
        raise InvalidInputError(
            f"under policy {policy.version} levels are stated, not derived: there are no level rules"
        )
    items = _read_evidence(evidence)
    areas = _areas(areas_file, folder, has_trust=policy_file is None)
    found = explain_level(policy.levels, evidence_of(items), areas, now, participant=participant)
    derived = found.derived
    texts = {rule.id: rule.text for rule in policy.levels.rules}
    data = {
        "level": str(derived.level),
        "policy": policy.version,
        "at": rfc3339(now),
        "participant": participant,
        "next_change": None if derived.next_change is None else rfc3339(derived.next_change),
        "decided_by": None if derived.ground is None else derived.ground.rule,
        "text": texts.get(derived.ground.rule if derived.ground else ""),
        "grounds": [_ground(each, policy.levels, now) for each in derived.grounds],
        "other_rules": [{"rule": name, "why": list(texts)} for name, texts in found.why_not.items()],
    }
    print_result(data, as_json=as_json, table=_explanation_table)


def _read_evidence(file: Path) -> Any:
    try:
        items = load_json(read_named(file, _MAX_EVIDENCE_BYTES), _MAX_EVIDENCE_BYTES)
    except DecodeError as error:
        raise InvalidInputError(
            f"{file} is no JSON list, as the evidence of a rule's example is: {error.message}"
        ) from error
    check_problems(str(file), lint_evidence(items), advice="")
    return items


def _time(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from None


def _areas(file: Path | None, folder: Path, *, has_trust: bool) -> AreaRisk:
    if file is not None:
        return decode_areas(read_named(file, MAX_AREAS_BYTES))
    return open_trust(folder).view.areas if has_trust else AreaRisk()


def _ground(each: Ground, rules: LevelRules, now: int) -> dict[str, Any]:
    rule = next((rule for rule in rules.rules if rule.id == each.rule), None)
    return {
        "rule": each.rule,
        "level": str(each.level),
        "reason": str(each.reason),
        "state": "active" if each.starts <= now < each.ends else "to come" if now < each.starts else "over",
        "starts": rfc3339(each.starts),
        "ends": rfc3339(each.ends),
        "cleared": each.cleared,
        "source": each.evidence.source,
        "record": each.evidence.record,
        "text": "" if rule is None else rule.text,
        "text_zh": "" if rule is None else rule.text_zh,
    }


def _explanation_table(data: Mapping[str, Any]) -> RenderableType:
    facts = {name: value for name, value in data.items() if name not in {"grounds", "other_rules"}}
    columns = ("rule", "level", "state", "starts", "ends", "cleared", "source", "record")
    others = [{"rule": each["rule"], "why": "; ".join(each["why"])} for each in data["other_rules"]]
    return Group(
        details(facts),
        Text(),
        rows(columns, data["grounds"], title="Grounds"),
        rows(("rule", "why"), others, title="No active ground"),
    )
