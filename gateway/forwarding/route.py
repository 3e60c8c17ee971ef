"""Where a question goes: from the issuer to its federation endpoint, out of signed trust data.

The endpoint and the CA come from the province's own signed file, so nobody but the
province's authority can draw its questions elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.errors import NotFoundError, Reason, UnavailableError
from healthcode.trust.view import TrustView

__all__ = ["Route", "find_route"]

FEDERATION = "federation"


@dataclass(frozen=True, slots=True)
class Route:
    """A home: its participant code, host:port, and the CAs that may vouch for its certificate."""

    participant: str
    endpoint: str
    tls_ca: tuple[str, ...]


def find_route(view: TrustView, issuer: str) -> Route:
    """The route to `issuer`.

    Raises NotFoundError(PARTICIPANT_UNKNOWN) for one that the realm does not have,
    UnavailableError for one that has published no endpoint.
    """
    home = view.issuers.get(issuer)
    if home is None:
        raise NotFoundError(
            "this realm has no such issuer",
            reason=Reason.PARTICIPANT_UNKNOWN,
            fields={"issuer": "not a participant"},
        )
    endpoint = home.endpoints.get(FEDERATION)
    if endpoint is None or not home.tls_ca:
        raise UnavailableError(
            f"participant {issuer} has published no endpoint for questions", reason=Reason.HOME_UNAVAILABLE
        )
    return Route(issuer, endpoint, tuple(home.tls_ca))
