"""Refuses a policy or areas file of a format that a participant's node or the gateway does not read yet.

Such a node would keep the last file that it reads, and soon decide nothing (docs/adr/0020).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from healthcode.errors import PreconditionError, Reason
from healthcode.identity.participant import participant
from healthcode.policy.json_model import format_number
from healthcode.trust.format.layout import AREAS_ROLE, POLICY_PATH, RISK_PATH
from trust_registry.tree.current import LIMITS, Published

__all__ = ["check_readers", "published_format"]

Kind = Literal["policy", "areas"]


def published_format(published: Published, kind: Kind) -> int:
    """The format number of the published policy or areas; 1 if no areas were published."""
    if kind == "policy":
        return _number(kind, published.file(published.targets, POLICY_PATH))
    metadata = published.role(AREAS_ROLE)
    return 1 if metadata is None else _number(kind, published.file(metadata, RISK_PATH))


def check_readers(published: Published, kind: Kind, data: bytes) -> None:
    """Raises PreconditionError (FORMAT_NEWER) that names each node which does not read the format of `data`.

    A node that never reported counts as one that reads format 1. A format that is published already is not
    checked: a refusal would help no node, and keep an urgent change from all the others.
    """
    number = _number(kind, data)
    if number <= published_format(published, kind):
        return
    if lacking := list(_lacking(published, kind, number)):
        raise PreconditionError(
            f"{kind} of format {number} cannot be published yet: {'; '.join(lacking)}. Have their operators upgrade "
            "the software; each reports within a minute (`trust-registry nodes`)",
            reason=Reason.FORMAT_NEWER,
        )


def _number(kind: Kind, data: bytes) -> int:
    limit = LIMITS.policy_bytes if kind == "policy" else LIMITS.risk_bytes
    return format_number(data, kind, max_bytes=limit)


def _lacking(published: Published, kind: Kind, number: int) -> Iterator[str]:
    claims = published.claims
    for node in published.reporters:
        claim = claims.get(node)
        reads = 1 if claim is None else claim.policy_format if kind == "policy" else claim.areas_format
        if reads >= number:
            continue
        name = node if node == "gateway" else f"{node} {participant(node).english}"
        if claim is None:
            yield f"{name} never reported, which counts as format 1"
        else:
            yield f"{name} reads up to format {reads} ({claim.software})"
