"""Asks the home of a code through the gateway."""

from __future__ import annotations

from healthcode.errors import InternalError, NotFoundError, Reason, UnavailableError
from healthcode.rpc.convert import enum_number
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.service_link import ServiceLink
from healthcode.v1 import gateway_pb2, province_node_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from healthcode.wire.question import QueryMode

__all__ = ["GatewayLink"]

_DEFAULT_RETRY_SECONDS = 2.0


class GatewayLink:
    """Carries signed questions over the link to the gateway."""

    def __init__(self, link: ServiceLink) -> None:
        self._link = link

    async def ask(self, home: str, question: bytes, mode: QueryMode, timeout_seconds: float) -> bytes:
        """The home's answer, unverified.

        Raises UnavailableError with retry advice when the home or the gateway cannot be
        reached, another HealthcodeError when the question was refused.
        """
        stub = GatewayServiceStub(await self._link.channel())
        request = gateway_pb2.AskRequest(
            issuer=home, question=question, mode=enum_number(province_node_pb2.QueryMode, mode)
        )
        try:
            with rpc_errors("the gateway"):
                response = await stub.Ask(request, timeout=timeout_seconds)
        except NotFoundError as error:
            raise UnavailableError(error.message, reason=error.reason) from error
        result = response.WhichOneof("result")
        if result == "answer":
            return response.answer
        if result == "home_unavailable":
            told = response.home_unavailable
            reason = Reason(told.reason) if told.reason in Reason.__members__ else Reason.HOME_UNAVAILABLE
            wait = told.retry_after.ToNanoseconds() / 1e9
            raise UnavailableError(
                f"participant {home} cannot be reached now",
                reason=reason,
                retry_after_seconds=wait or _DEFAULT_RETRY_SECONDS,
            )
        raise InternalError("the gateway answered with nothing that this software knows")
