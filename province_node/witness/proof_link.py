"""Asks a province through the gateway to prove that its audit log has only grown."""

from __future__ import annotations

from healthcode.audit.consistency import GrowthQuestion
from healthcode.errors import InternalError, Reason, UnavailableError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.service_link import ServiceLink
from healthcode.v1.gateway_pb2 import AuditProofRequest, AuditProofResponse
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub

__all__ = ["ProofLink"]


class ProofLink:
    """Carries questions about audit logs over the link to the gateway."""

    def __init__(self, link: ServiceLink) -> None:
        self._link = link

    async def prove(self, home: str, question: GrowthQuestion, timeout_seconds: float) -> bytes:
        """The home's proof, unverified. Raises HealthcodeError if there is none."""
        stub = GatewayServiceStub(await self._link.channel())
        request = AuditProofRequest(
            home=home, log=question.log, first_size=question.first, second_size=question.second
        )
        with rpc_errors("the gateway"):
            response: AuditProofResponse = await stub.AuditProof(request, timeout=timeout_seconds)
        result = response.WhichOneof("result")
        if result == "proof":
            return response.proof
        if result == "home_unavailable":
            told = response.home_unavailable.reason
            reason = Reason(told) if told in Reason.__members__ else Reason.HOME_UNAVAILABLE
            raise UnavailableError(f"participant {home} gives no proof of its audit log", reason=reason)
        raise InternalError("the gateway answered with nothing that this software knows")
