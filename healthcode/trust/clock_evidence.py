"""Evidence about this machine's clock: a new signed timestamp, and our clock when it arrived (DIR/clock.json).

Verdicts leave open what depends on a clock that seems to be ahead (verification/outcome.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.storage.files import write_atomic
from healthcode.storage.reading import read_regular
from healthcode.trust.format.json_files import JsonFile, decode_json_file
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.format.metadata import Root, Timestamp, decode_metadata, verify_threshold
from healthcode.trust.format.metadata_fields import signed_at

__all__ = [
    "TOLERANCE_SECONDS",
    "ClockEvidence",
    "newest_evidence",
    "read_clock_evidence",
    "write_clock_evidence",
]

TOLERANCE_SECONDS = 300
"""How far a clock may be ahead before it is reported; mirrors lag a little."""

_FILE = "clock.json"
_MAX_FILE_BYTES = 262_144


class _ClockFile(JsonFile):
    format: Literal["healthcode/clock/1"] = "healthcode/clock/1"
    seen_at: int
    timestamp: str


@dataclass(frozen=True, slots=True)
class ClockEvidence:
    """A new timestamp: `signed_at` is its own time, `seen_at` our clock on arrival (seconds).

    `source` gave it to this process; empty for one that was read from disk.
    """

    seen_at: int
    signed_at: int
    timestamp: bytes = b""
    source: str = ""

    @property
    def offset_seconds(self) -> int:
        """How far our clock was ahead of the signed time; negative if it was behind."""
        return self.seen_at - self.signed_at

    def ahead_seconds(self, now: int) -> int:
        """How far the clock is ahead, as far as we know; 0 once it was set back."""
        return 0 if self.is_over(now) else max(0, self.offset_seconds)

    def is_over(self, now: int) -> bool:
        """Whether the clock was set back since, so that the evidence no longer applies."""
        return now < self.seen_at - TOLERANCE_SECONDS


def newest_evidence(
    timestamps: Iterable[bytes], root: Root, known_version: int, now: int, limits: TrustLimits
) -> ClockEvidence | None:
    """The newest of `timestamps` that verifies under `root` and is newer than `known_version`; None if none is."""
    # The registry signs a timestamp each minute, so a new one should say about the same as our clock. If it is far
    # behind, our clock is ahead or every source withholds newer ones: we cannot tell which. An old timestamp says
    # nothing about the time; an expired new one does.
    found: ClockEvidence | None = None
    for data in timestamps:
        try:
            timestamp = decode_metadata(data, Timestamp, limits.timestamp_bytes)
            if timestamp.signed.version <= known_version:
                continue
            verify_threshold(root, "timestamp", timestamp)
            evidence = ClockEvidence(now, signed_at(timestamp.signed), data)
        except HealthcodeError:
            continue
        if found is None or evidence.signed_at > found.signed_at:
            found = evidence
    return found


def read_clock_evidence(directory: Path, root: Root, limits: TrustLimits) -> ClockEvidence | None:
    """The stored evidence, if it verifies under `root`; else None."""
    try:
        data = read_regular(directory / _FILE)
        stored = decode_json_file(_ClockFile, data, _MAX_FILE_BYTES)
        kept = stored.timestamp.encode()
    except (OSError, UnicodeError, HealthcodeError):
        return None
    return newest_evidence([kept], root, 0, stored.seen_at, limits)


def write_clock_evidence(directory: Path, evidence: ClockEvidence | None) -> None:
    """Store the evidence durably if the clock is ahead; else delete it. Raises TrustError(STORAGE_FULL)."""
    path = directory / _FILE
    try:
        if evidence is None or evidence.offset_seconds <= TOLERANCE_SECONDS:
            path.unlink(missing_ok=True)
            return
        content = {
            "format": "healthcode/clock/1",
            "seen_at": evidence.seen_at,
            "timestamp": evidence.timestamp.decode(),
        }
        write_atomic(path, json.dumps(content).encode())
    except OSError as error:
        raise TrustError(
            f"the trust folder {directory} cannot be written: {error.strerror}", reason=Reason.STORAGE_FULL
        ) from error
