"""This province's own checkpoint, as often as it is worth a padded block of entries and a proof in every province."""

from __future__ import annotations

from typing import Protocol

from healthcode.audit.checkpoint import Checkpoint

__all__ = ["OwnCheckpoint", "PaddedLog"]


class PaddedLog(Protocol):
    """The audit log of this node, as far as publishing needs it."""

    def checkpoint(self, now: int) -> Checkpoint | None:
        """The log as it is now, padded; None before the first entry. Writes; blocks."""
        ...


class OwnCheckpoint:
    """Gives the publisher a checkpoint that is at most `seconds` old. One for the process that publishes."""

    def __init__(self, log: PaddedLog, seconds: float) -> None:
        self._log = log
        self._seconds = seconds
        self._made: tuple[int, Checkpoint] | None = None

    def at(self, now: int) -> Checkpoint | None:
        """The checkpoint to sign now. Blocks. Raises HealthcodeError as the log does."""
        # Heads go out each second while codes are revoked. A checkpoint each time would fill the log with padding, and
        # ask every province for a proof.
        if self._made is not None and 0 <= now - self._made[0] < self._seconds:
            return self._made[1]
        checkpoint = self._log.checkpoint(now)
        self._made = None if checkpoint is None else (now, checkpoint)
        return checkpoint
