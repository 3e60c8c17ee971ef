"""The registry's event log: who proposed, signed, published, admitted, retired and gave up, and when.

It only grows. An event is durable before what it records becomes visible; so a kill may repeat one, and loses none.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.clock import Clock, parse_rfc3339, rfc3339
from healthcode.storage.files import storage_error, sync

__all__ = ["EventKind", "EventLog", "RegistryEvent", "account_name"]

_MAX_DETAIL = 1000


class EventKind(StrEnum):
    """What happened. New words are only added."""

    FOUNDED = "FOUNDED"
    PROPOSED = "PROPOSED"
    SIGNED = "SIGNED"
    PUBLISHED = "PUBLISHED"
    ADMITTED = "ADMITTED"
    RETIREMENT = "RETIREMENT"
    GAVE_UP = "GAVE_UP"
    RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True)
class RegistryEvent:
    """One event. `who` are the ids of the keys that signed; `account` is the system account that ran the command."""

    at: int
    kind: EventKind
    subject: str
    detail: str
    who: tuple[str, ...]
    account: str


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    format: Literal["healthcode/registry-event/1"] = "healthcode/registry-event/1"
    at: str
    event: str
    subject: str
    detail: str
    who: list[str]
    account: str


class EventLog:
    """The events of one registry, a line of JSON each. Writers have the registry's writer lock."""

    def __init__(self, path: Path, clock: Clock, account: str | None = None) -> None:
        self._path = path
        self._clock = clock
        self._account = account or account_name({})

    def record(self, kind: EventKind, subject: str, detail: str = "", who: Iterable[str] = ()) -> None:
        """Adds an event; durable when this returns. Raises `storage_error`."""
        line = _Line(
            at=rfc3339(self._clock.now()),
            event=kind,
            subject=subject,
            detail=detail[:_MAX_DETAIL],
            who=sorted(who),
            account=self._account,
        )
        data = json.dumps(line.model_dump(), ensure_ascii=False).encode() + b"\n"
        try:
            is_new = not self._path.exists()
            with open(self._path, "ab+", opener=_private) as file:
                if file.tell() and not _ends_with_line(file.fileno(), file.tell()):
                    data = b"\n" + data  # a kill or a full disk cut the last line
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync(self._path.parent)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def read(self) -> tuple[list[RegistryEvent], int]:
        """The events, the oldest first, and how many lines cannot be read. Raises `storage_error`."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            raise storage_error(self._path, error) from error
        decoded = [_decode(line) for line in lines if line]
        found = [event for event in decoded if event is not None]
        return found, len(decoded) - len(found)


def account_name(environ: Mapping[str, str]) -> str:
    """The account of the person: behind sudo, the one that called it."""
    try:
        return environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an account that the system does not name
        return str(os.getuid())


def _decode(line: bytes) -> RegistryEvent | None:
    try:
        found = _Line.model_validate_json(line)
        return RegistryEvent(
            at=parse_rfc3339(found.at),
            kind=EventKind(found.event),
            subject=found.subject,
            detail=found.detail,
            who=tuple(found.who),
            account=found.account,
        )
    except (ValidationError, ValueError, RecursionError):
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)


def _ends_with_line(handle: int, size: int) -> bool:
    return os.pread(handle, 1, size - 1) == b"\n"
