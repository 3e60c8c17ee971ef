"""What the `check` commands of our services find: one shape, one way to show it, one exit status.

    findings = [look("offline keys", lambda: "none lie here"), look_at_port("listen", settings.listen)]
    print_findings(findings, as_json=as_json)      # ends the command

With --json: {"ready": bool, "findings": [{"what", "grade": "OK|WARNING|FAILED", "detail"}]}.
What may be so because the service runs already, as a port that is taken, is a WARNING everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from healthcode.cli.console import EXIT_UNAVAILABLE, EXIT_USAGE, exit_with, print_result
from healthcode.cli.table import rows
from healthcode.errors import ConfigurationError, HealthcodeError, UnavailableError
from healthcode.rpc.server import check_free

__all__ = ["Finding", "Grade", "look", "look_at_port", "print_findings"]


class Grade(StrEnum):
    """How a finding is meant."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and when it does not hold, what to do.

    `exit_status` is what a FAILED one ends the command with: that of the start it would stop.
    """

    what: str
    grade: Grade
    detail: str
    exit_status: int = ConfigurationError.exit_status


def look(what: str, find: Callable[[], str]) -> Finding:
    """What `find` says is OK; what it raises, of ours, FAILED."""
    try:
        return Finding(what, Grade.OK, find())
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status)


def look_at_port(what: str, listen: str | None) -> Finding:
    """Whether one can listen there; a port that is taken may be taken by the service itself."""
    if listen is None:
        return Finding(what, Grade.OK, "none wanted")
    try:
        check_free(listen)
    except UnavailableError:
        return Finding(
            what, Grade.WARNING, f"{listen} is taken: does it run already? If not, stop who has it"
        )
    except ConfigurationError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status)
    return Finding(what, Grade.OK, f"{listen} is free")


def print_findings(findings: Iterable[Finding], *, as_json: bool) -> None:
    """Shows them; ends the command with the status of a start when something failed."""
    found = tuple(findings)
    # whatever it is, it stops a start: 4 when it may be back by itself, else it is to be set right here
    failed = [
        one.exit_status if one.exit_status == EXIT_UNAVAILABLE else EXIT_USAGE
        for one in found
        if one.grade is Grade.FAILED
    ]
    lines = [{"what": one.what, "grade": one.grade.value, "detail": one.detail} for one in found]
    print_result({"ready": not failed, "findings": lines}, as_json=as_json, table=_table)
    if failed:
        # what must be set right here comes before what may be back by itself
        exit_with(min(failed))


def _table(data: Mapping[str, Any]) -> RenderableType:
    styles = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.FAILED: "bold red"}
    lines: Sequence[Mapping[str, Any]] = [
        {**line, "grade": Text(line["grade"], style=styles[Grade(line["grade"])])}
        for line in data["findings"]
    ]
    return rows(("grade", "what", "detail"), lines)
