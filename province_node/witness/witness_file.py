"""witness.json in the trust folder: what this province has witnessed of other audit logs, durable."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.audit.checkpoint import decode_checkpoint
from healthcode.errors import ConfigurationError, DecodeError
from healthcode.storage.files import save_file
from healthcode.storage.lock import lock
from healthcode.storage.reading import read_file
from healthcode.strict_json import load_json
from province_node.witness.judge import Finding, Witnessed

__all__ = ["WITNESS_FILE", "WitnessFile"]

WITNESS_FILE = "witness.json"
_LOCK = ".witness.lock"
_MAX_BYTES = 1 << 20


class _Row(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _FindingRow(_Row):
    seen: list[Any]
    at: int
    why: str


class _ProvinceRow(_Row):
    kept: list[Any]
    version: int
    fork: _FindingRow | None = None
    restart: _FindingRow | None = None
    unproved_since: int | None = None
    unproved_why: str = ""


class _FileRow(_Row):
    format: Literal["healthcode/witness/1"]
    provinces: dict[str, _ProvinceRow]


class WitnessFile:
    """The file of one node. The node and its commands change it under a lock."""

    def __init__(self, trust_folder: Path) -> None:
        self._folder = trust_folder
        self._path = trust_folder / WITNESS_FILE

    def read(self) -> dict[str, Witnessed]:
        """By participant; empty if there is no file. Raises ConfigurationError if it is damaged."""
        data = read_file(self._path)
        if data is None:
            return {}
        try:
            found = _FileRow.model_validate(load_json(data, _MAX_BYTES))
            return {code: _witnessed(row) for code, row in found.provinces.items()}
        except (DecodeError, ValidationError) as error:
            # to begin again without a word would forget what other provinces have signed
            raise ConfigurationError(
                f"{self._path} is damaged: put it back from a backup, or move it away, and other provinces' audit logs "
                "are then watched from now on"
            ) from error

    def change(
        self, participant: str, change: Callable[[Witnessed | None], Witnessed | None]
    ) -> tuple[Witnessed | None, Witnessed | None]:
        """Applies `change` to the record of one province: (before, after), durable when this returns.

        Raises what `change` raises, UnavailableError (STORAGE_FULL), and as `read`.
        """
        with self._locked():
            known = self.read()
            before = known.get(participant)
            after = change(before)
            if after is not None and after != before:
                self._write({**known, participant: after})
            return before, after

    def _write(self, known: Mapping[str, Witnessed]) -> None:
        rows = {
            code: {
                "kept": each.kept.to_json(),
                "version": each.version,
                "fork": _finding_row(each.fork),
                "restart": _finding_row(each.restart),
                "unproved_since": each.unproved_since,
                "unproved_why": each.unproved_why,
            }
            for code, each in sorted(known.items())
        }
        body = {"format": "healthcode/witness/1", "provinces": rows}
        save_file(self._path, (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with lock(self._folder / _LOCK):
            yield


def _finding_row(finding: Finding | None) -> dict[str, Any] | None:
    return None if finding is None else {**asdict(finding), "seen": finding.seen.to_json()}


def _witnessed(row: _ProvinceRow) -> Witnessed:
    return Witnessed(
        decode_checkpoint(row.kept),
        row.version,
        _finding(row.fork),
        _finding(row.restart),
        row.unproved_since,
        row.unproved_why,
    )


def _finding(row: _FindingRow | None) -> Finding | None:
    return None if row is None else Finding(decode_checkpoint(row.seen), row.at, row.why)
