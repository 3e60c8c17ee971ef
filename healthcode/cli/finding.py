"""The findings of the `check` commands: how they are made, printed, and turned into an exit status.

JSON: {"ready": bool, "findings": [{"what", "grade": "OK|WARNING|FAILED", "detail"}]}.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from healthcode.cli.console import EXIT_UNAVAILABLE, EXIT_USAGE, exit_with, print_result
from healthcode.cli.table import rows
from healthcode.errors import ConfigurationError, HealthcodeError, UnavailableError
from healthcode.rpc.server import check_free
from healthcode.storage.owner import find_unreadable, user_name
from healthcode.trust.clock_evidence import TOLERANCE_SECONDS

__all__ = ["Finding", "Grade", "look", "look_at_clock", "look_at_files", "look_at_port", "print_findings"]


_NAMED = 5


class Grade(StrEnum):
    """How serious a finding is. A state that a running service causes, such as a port in use, is a WARNING."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `detail` says what to do about it.

    `exit_status` of a FAILED finding is that of the start which it would prevent.
    """

    what: str
    grade: Grade
    detail: str
    exit_status: int = ConfigurationError.exit_status


def look(what: str, find: Callable[[], str]) -> Finding:
    """OK with the text that `find` returns, or FAILED with the HealthcodeError that it raises."""
    try:
        return Finding(what, Grade.OK, find())
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status)


def look_at_port(what: str, listen: str | None) -> Finding:
    """Whether the address is free to listen on."""
    if listen is None:
        return Finding(what, Grade.OK, "not configured")
    try:
        check_free(listen)
    except UnavailableError:
        return Finding(
            what,
            Grade.WARNING,
            f"{listen} is in use: if this service is not running, stop the program that uses it",
        )
    except ConfigurationError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status)
    return Finding(what, Grade.OK, f"{listen} is free")


def look_at_clock(now: int, *, on_disk: int | None, served: int | None) -> Finding:
    """This machine's clock beside the newest signatures of the registry: in the trust folder, and as it serves it now.

    A signature on disk is old for many reasons, so it shows only a clock that is behind. None: there is none.
    """
    what = "clock"
    newest = max((each for each in (on_disk, served) if each is not None), default=None)
    if newest is not None and newest - now > TOLERANCE_SECONDS:
        detail = f"it is {newest - now} s or more behind the times that the registry signed: set the clock"
        return Finding(what, Grade.FAILED, detail)
    if served is None:
        return Finding(what, Grade.WARNING, "not compared with the registry's: it gave no signed time")
    if now - served > TOLERANCE_SECONDS:
        detail = (
            f"it is {now - served} s ahead of the newest time that the registry signed, and that signs each minute: set "
            "the clock. If the clock is right, the registry signs nothing: call its operators"
        )
        return Finding(what, Grade.FAILED, detail)
    return Finding(what, Grade.OK, f"the registry signed {now - served} s ago by it")


def look_at_files(folder: Path) -> Finding:
    """Whether the owner of a service's folder, whom the command acts as, can read all that is in it."""
    what = "files"
    try:
        found = list(find_unreadable(folder))
        status = folder.stat()
    except OSError as error:
        return Finding(what, Grade.FAILED, f"{error.filename} cannot be read: {error.strerror}")
    owner = user_name(status.st_uid)
    if not found:
        return Finding(what, Grade.OK, f"user {owner} can read them all")
    names = ", ".join(str(path.relative_to(folder)) for path in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return Finding(
        what,
        Grade.WARNING,
        f"user {owner}, whose folder this is, cannot read {names}{more}: run `chown -R {status.st_uid}:{status.st_gid} "
        f"{shlex.quote(str(folder.absolute()))}` as root",
    )


def print_findings(findings: Iterable[Finding], *, as_json: bool) -> None:
    """Prints them. If one failed, ends the command with the exit status of the start that it would prevent."""
    found = tuple(findings)
    # 4 if it may recover without action here, else 2
    failed = [
        one.exit_status if one.exit_status == EXIT_UNAVAILABLE else EXIT_USAGE
        for one in found
        if one.grade is Grade.FAILED
    ]
    lines = [{"what": one.what, "grade": one.grade.value, "detail": one.detail} for one in found]
    print_result({"ready": not failed, "findings": lines}, as_json=as_json, table=_table)
    if failed:
        # what needs action here (2) comes before what may recover (4)
        exit_with(min(failed))


def _table(data: Mapping[str, Any]) -> RenderableType:
    styles = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.FAILED: "bold red"}
    lines: Sequence[Mapping[str, Any]] = [
        {**line, "grade": Text(line["grade"], style=styles[Grade(line["grade"])])}
        for line in data["findings"]
    ]
    return rows(("grade", "what", "detail"), lines)
