"""What a servicer's method knows about the call that it serves."""

from __future__ import annotations

import time
from dataclasses import dataclass

from healthcode.identity.peer import PeerId

__all__ = ["CallInfo"]


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One call. `peer` is None for an anonymous caller; `deadline` is on the monotonic clock, None for a long-lived stream.

    `leaf` is the certificate (PEM) of the connection: of a proxy, if one passed the call on.
    """

    method: str
    peer: PeerId | None
    deadline: float | None
    leaf: bytes | None = None

    def remaining_seconds(self, *, margin: float = 0.0) -> float | None:
        """Seconds left less `margin`, at least 0; None without a deadline."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic() - margin)

    def caller(self) -> PeerId:
        """The peer, in methods that anonymous callers cannot call."""
        assert self.peer is not None, "the access table must demand an identity here"  # noqa: S101  an invariant
        return self.peer
