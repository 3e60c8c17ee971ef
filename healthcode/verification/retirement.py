"""The remedy for a holder whose issuer is leaving or has left."""

from __future__ import annotations

from healthcode.clock import rfc3339
from healthcode.policy.words import Outcome
from healthcode.trust.format.json_files import Retirement

__all__ = ["retirement_remedy"]


def retirement_remedy(
    retirement: Retirement, issuer: str, outcome: Outcome, detail: str | None, remedy: str | None
) -> str | None:
    """The remedy for a code of a retiring issuer; `remedy` is the policy's."""
    ends = rfc3339(retirement.codes_until)
    instead = "get a new code from the province that takes its place"
    if detail == "issuer.retired":
        return f"Province {issuer} has left, and its codes ended {ends}: {instead}."
    if outcome is Outcome.VALID:
        notice = f"Province {issuer} leaves, and its codes end {ends}: {instead} by then."
        return notice if remedy is None else f"{remedy} {notice}"
    return remedy
