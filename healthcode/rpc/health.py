"""grpc.health.v1.Health as a servicer of ours.

The library's own servicer bypasses the access table, the error mapping and the drain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from grpc_health.v1 import health_pb2

from healthcode.errors import NotFoundError
from healthcode.rpc.call import CallInfo

__all__ = ["HealthServicer"]


class HealthServicer:
    """One status for the whole server and for each of its service names."""

    def __init__(self) -> None:
        self._services = {""}
        self._serving = False
        self._changed = asyncio.Event()

    def add(self, service: str) -> None:
        """Adds a service by its full name."""
        self._services.add(service)

    def set_serving(self, *, serving: bool) -> None:
        """Changes the status and notifies every watcher."""
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str) -> int:
        if service not in self._services:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        return (
            health_pb2.HealthCheckResponse.SERVING
            if self._serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )

    # methods are named as in the proto, and do not need the call
    async def Check(  # noqa: N802  as above
        self,
        request: health_pb2.HealthCheckRequest,
        call: CallInfo,  # noqa: ARG002  as above
    ) -> health_pb2.HealthCheckResponse:
        """The status now. Raises NotFoundError for a service that is not served here."""
        status = self._status(request.service)
        if status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
            raise NotFoundError("no such service here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802  as above
        self,
        request: health_pb2.HealthCheckRequest,
        call: CallInfo,  # noqa: ARG002  as above
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now, and at each change."""
        last: int | None = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != last:
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
            await changed.wait()
