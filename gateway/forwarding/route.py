"""Finds the endpoint of an issuer in the trust data.

The province's authority signed endpoint and CA, so no one else can redirect its questions.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.errors import NotFoundError, Reason, UnavailableError
from healthcode.trust.view import TrustView

__all__ = ["Route", "find_route"]

FEDERATION = "federation"


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a home: participant code, host:port, and the CAs of its certificate."""

    participant: str
    endpoint: str
    tls_ca: tuple[str, ...]


def find_route(view: TrustView, issuer: str) -> Route:
    """Raises NotFoundError(PARTICIPANT_UNKNOWN) if the realm has no such issuer, UnavailableError if it has no endpoint."""
    home = view.issuers.get(issuer)
    if home is None:
        raise NotFoundError(
            "this realm has no such issuer: check `issuer` and the realm",
            reason=Reason.PARTICIPANT_UNKNOWN,
            fields={"issuer": "not a participant"},
        )
    endpoint = home.endpoints.get(FEDERATION)
    if endpoint is None or not home.tls_ca:
        raise UnavailableError(
            f"participant {issuer} has published no endpoint for questions", reason=Reason.HOME_UNAVAILABLE
        )
    return Route(issuer, endpoint, tuple(home.tls_ca))
