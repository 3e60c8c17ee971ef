"""gateway.route: where a question goes, out of signed trust data."""

from __future__ import annotations

import pytest

from gateway.forwarding.route import Route, find_route
from healthcode.errors import NotFoundError, Reason, UnavailableError
from tests.unit.gateway.realm import issuer, view


def test_finds_what_the_home_published() -> None:
    """Endpoint and CAs are the home's own."""
    trust = view(issuer("31", endpoint="node.example:8453", tls_ca=("A", "B")))
    assert find_route(trust, "31") == Route("31", "node.example:8453", ("A", "B"))


@pytest.mark.parametrize("name", ["44", "", "3", "031", "31\n", "../31", "x" * 10_000])
def test_whoever_is_not_a_participant_is_not_found(name: str) -> None:
    """Any other text is an unknown participant, whose text is not repeated."""
    with pytest.raises(NotFoundError) as refusal:
        find_route(view(issuer("31", endpoint="h:1")), name)
    assert refusal.value.reason is Reason.PARTICIPANT_UNKNOWN
    assert len(refusal.value.message) < 100


@pytest.mark.parametrize("home", [issuer("31"), issuer("31", endpoint="h:1", tls_ca=())])
def test_without_an_endpoint_or_a_ca_there_is_no_way(home: object) -> None:
    """Nobody is called whose certificate could not be checked."""
    with pytest.raises(UnavailableError):
        find_route(view(home), "31")  # type: ignore[arg-type]  # an IssuerView, as made above
