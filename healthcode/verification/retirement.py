"""What the holder of a code is told when the province that issued it leaves.

In time, that is while the code still passes; and afterwards, when it is refused
because its issuer's last code has ended.
"""

from __future__ import annotations

from healthcode.clock import rfc3339
from healthcode.policy.words import Outcome
from healthcode.trust.format.json_files import Retirement

__all__ = ["retirement_remedy"]


def retirement_remedy(
    retirement: Retirement, issuer: str, outcome: Outcome, detail: str | None, remedy: str | None
) -> str | None:
    """What can be done about a code of an issuer that leaves; `remedy` is what the policy says of it."""
    ends = rfc3339(retirement.codes_until)
    instead = "get a new code from the province that takes its place"
    if detail == "issuer.retired":
        return f"Province {issuer} has left, and its codes ended {ends}: {instead}."
    if outcome is Outcome.VALID:
        notice = f"Province {issuer} leaves, and its codes end {ends}: {instead} by then."
        return notice if remedy is None else f"{remedy} {notice}"
    return remedy
