"""The records of publishing: what was published, what fails, and what padding sees of a day's list."""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.errors import Reason

__all__ = ["ListVersion", "PaddingState", "Publication", "PublishFailure"]


@dataclass(frozen=True, slots=True)
class PaddingState:
    """A day's list as padding sees it: the series in use, its entries, and how many paddings were drawn.

    `used` counts those of this series, `padded` those of every series.
    """

    series: int
    used: int
    revoked: int
    padded: int


@dataclass(frozen=True, slots=True)
class ListVersion:
    """That the list of `day` had `version` when it contained the revocations up to sequence `through`."""

    day: int
    version: int
    through: int
    base_version: int  # of its delta; older versions need not be remembered


@dataclass(frozen=True, slots=True)
class Publication:
    """The last revocation head that the registry acknowledged; `lists`: those that it changed.

    `root`: the fingerprint of the root in this node's configuration then; empty if unknown.
    """

    version: int
    signed_at: int
    covered_from: int
    covered_to: int
    through: int  # the last revocation sequence in it
    head: bytes
    lists: tuple[ListVersion, ...] = ()
    root: str = ""


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """Why the registry does not have our newest head, and since when (seconds); `message` is for an operator."""

    reason: Reason
    message: str
    since: int
