"""What a servicer's method learns about the call it serves."""

from __future__ import annotations

import time
from dataclasses import dataclass

from healthcode.identity.peer import PeerId

__all__ = ["CallInfo"]


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One call: who calls (None: anonymous, where the access table lets them), and until when.

    `deadline` is on the monotonic clock, None for a long-lived stream.
    """

    method: str
    peer: PeerId | None
    deadline: float | None

    def remaining_seconds(self, *, margin: float = 0.0) -> float | None:
        """Seconds left less `margin`, at least 0; what a call made on behalf of this one may take."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic() - margin)

    def caller(self) -> PeerId:
        """The peer, for methods whose access rule demands one."""
        assert self.peer is not None, "the access table admits nobody anonymous here"  # noqa: S101  an invariant
        return self.peer
