"""What the last contact said of this machine's clock: the signed time that came, beside our own.

The registry signs a timestamp each minute. When one comes that we did not know, it was
signed a moment ago, so our clock should say about the same. One that lies far behind our
clock shows that the clock is ahead, or that every source keeps things back; which of the
two, nobody here can tell, so verdicts leave open what hangs on it (verification, step 7).

Only news count: a source that has nothing new says nothing about time. The evidence is
the signed timestamp itself, kept in DIR/clock.json while there is something to tell, and
checked again when it is read. An expired timestamp is evidence too, and nothing else.
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
from healthcode.trust.format.metadata import (
    Root,
    Timestamp,
    decode_metadata,
    verify_threshold,
)
from healthcode.trust.format.metadata_fields import signed_at

__all__ = [
    "TOLERANCE_SECONDS",
    "ClockEvidence",
    "newest_evidence",
    "read_clock_evidence",
    "write_clock_evidence",
]

TOLERANCE_SECONDS = 300
"""How far a clock may be ahead of news before it is worth telling; mirrors lag a little."""

_FILE = "clock.json"
_MAX_FILE_BYTES = 262_144


class _ContactDocument(JsonFile):
    format: Literal["healthcode/clock/1"] = "healthcode/clock/1"
    seen_at: int
    timestamp: str


@dataclass(frozen=True, slots=True)
class ClockEvidence:
    """A timestamp that was news: `signed_at` is its own time, `seen_at` our clock's when it came (seconds)."""

    seen_at: int
    signed_at: int
    timestamp: bytes = b""

    @property
    def offset_seconds(self) -> int:
        """By how much our clock stood ahead of the signed time; negative when it stood behind."""
        return self.seen_at - self.signed_at

    def ahead_seconds(self, now: int) -> int:
        """By how much the clock is ahead as far as is known; 0 once it was set back."""
        return 0 if self.is_over(now) else max(0, self.offset_seconds)

    def is_over(self, now: int) -> bool:
        """Whether the clock was set back since, so that this says nothing of it any more."""
        return now < self.seen_at - TOLERANCE_SECONDS


def newest_evidence(
    timestamps: Iterable[bytes], root: Root, known_version: int, now: int, limits: TrustLimits
) -> ClockEvidence | None:
    """The newest of `timestamps` that holds under `root` and is newer than `known_version`, if any is."""
    found: ClockEvidence | None = None
    for data in timestamps:
        try:
            timestamp = decode_metadata(data, Timestamp, limits.timestamp_bytes)
            if timestamp.signed.version <= known_version:
                continue
            verify_threshold(root, "timestamp", timestamp)
            contact = ClockEvidence(now, signed_at(timestamp.signed), data)
        except HealthcodeError:
            continue
        if found is None or contact.signed_at > found.signed_at:
            found = contact
    return found


def read_clock_evidence(directory: Path, root: Root, limits: TrustLimits) -> ClockEvidence | None:
    """The evidence that was kept, if it holds under `root`; what does not is as if it were not there."""
    try:
        data = read_regular(directory / _FILE)
        document = decode_json_file(_ContactDocument, data, _MAX_FILE_BYTES)
        kept = document.timestamp.encode()
    except (OSError, UnicodeError, HealthcodeError):
        return None
    return newest_evidence([kept], root, 0, document.seen_at, limits)


def write_clock_evidence(directory: Path, contact: ClockEvidence | None) -> None:
    """Keep the evidence of a clock that is ahead, durably; forget it when there is none to tell.

    Raises TrustError(STORAGE_FULL).
    """
    path = directory / _FILE
    try:
        if contact is None or contact.offset_seconds <= TOLERANCE_SECONDS:
            path.unlink(missing_ok=True)
            return
        document = {
            "format": "healthcode/clock/1",
            "seen_at": contact.seen_at,
            "timestamp": contact.timestamp.decode(),
        }
        write_atomic(path, json.dumps(document).encode())
    except OSError as error:
        raise TrustError(
            f"the trust folder {directory} cannot be written: {error.strerror}", reason=Reason.STORAGE_FULL
        ) from error
