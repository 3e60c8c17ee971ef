"""The limits of one server, and the state that the gates of its methods share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from healthcode.rpc.access import AccessRule, Ending, OfficerCheck
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.quota import Quota
from healthcode.telemetry import LogBudget, Metrics

__all__ = ["GateState", "ServerLimits"]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Numbers of concurrent calls, and durations in seconds.

    Fetches are streams that end by themselves. `idle_seconds` replaces that of the access table, which gives
    methods that wait a room of their own.
    """

    concurrent_calls: int = 256
    calls_per_caller: int = 192
    concurrent_fetches: int = 512
    concurrent_streams: int = 512
    fetches_per_caller: int = 128
    streams_per_caller: int = 128
    # anonymous callers: per address, and in total on a listener that also has identified callers
    fetches_per_address: int = 64
    streams_per_address: int = 64
    anonymous_fetches: int = 384
    anonymous_streams: int = 256
    streams_per_connection: int = 100
    # at this age a connection is closed gracefully, so that clients spread over the servers again
    connection_age_seconds: float = 300
    # after this grace it is cut
    connection_grace_seconds: float = 30
    # a stream without a deadline ends with OK at this age; shorter than the grace, so it is never cut
    stream_age_seconds: float = 25
    connection_idle_seconds: float = 300
    idle_seconds: float | None = None
    # several processes share one port; a single process must notice that its port is in use
    reuse_port: bool = False


@dataclass(slots=True)
class GateState:
    """What the gates of one server share."""

    access: Mapping[str, AccessRule]
    limits: ServerLimits
    metrics: Metrics
    verifier: PeerVerifier | None
    participant: str | None
    officers: OfficerCheck | None = None
    ended: set[Ending] = field(default_factory=set)
    waits: dict[asyncio.Timeout, Ending] = field(default_factory=dict)
    log_budget: LogBudget = field(default_factory=LogBudget)
    rooms: Mapping[str, Quota] = field(init=False)
    calls: Quota = field(init=False)
    fetches: Quota = field(init=False)
    streams: Quota = field(init=False)

    def __post_init__(self) -> None:
        limits, has_identities = self.limits, self.verifier is not None
        self.rooms = {
            path: Quota(rule.room.capacity, rule.room.per_caller)
            for path, rule in self.access.items()
            if rule.room is not None
        }
        self.calls = Quota(limits.concurrent_calls, limits.calls_per_caller)
        self.fetches = Quota(
            limits.concurrent_fetches,
            limits.fetches_per_caller,
            limits.fetches_per_address,
            limits.anonymous_fetches if has_identities else None,
        )
        self.streams = Quota(
            limits.concurrent_streams,
            limits.streams_per_caller,
            limits.streams_per_address,
            limits.anonymous_streams if has_identities else None,
        )

    def end(self, ending: Ending) -> None:
        """Ends the waits of all streams with this ending. ON_STOP also refuses new calls."""
        self.ended.add(ending)
        now = asyncio.get_running_loop().time()
        for wait, due in tuple(self.waits.items()):
            if due is ending:
                wait.reschedule(now)
