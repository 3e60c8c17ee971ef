"""Checks the history of a federation against five rules, as etcd's and Jepsen's checkers do (pure).

All times are on one clock. Operations that overlap are concurrent: no rule orders them.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

__all__ = [
    "Anomaly",
    "Fault",
    "Log",
    "Look",
    "Revoke",
    "Rule",
    "check_history",
    "read_looks",
    "write_operations",
]

REVOKED = "REVOKED"
VALID = "VALID"


class Rule(StrEnum):
    """What a history can break. The first three hold through crashes: a restarted node is the same node."""

    ACCEPTED_AFTER_REFUSING = (
        "ACCEPTED_AFTER_REFUSING"  # a node accepted a code that it had refused as revoked
    )
    WENT_BACK = "WENT_BACK"  # a version or a count of revoked codes fell at a node
    REFUSED_WITHOUT_CAUSE = "REFUSED_WITHOUT_CAUSE"  # refused before its revocation began
    FORKED = "FORKED"  # two nodes saw different contents under one version
    LOST = "LOST"  # at rest, a node did not refuse an acknowledged revocation


@dataclass(frozen=True, slots=True)
class Look:
    """What a node answered and knew between two moments (seconds).

    `outcomes` is by code. `growing` are numbers that may only grow, by name. `contents` maps "what@version" to a
    digest, which must be the same at all nodes. A `final` look was taken after the federation came to rest.
    """

    node: str
    began: float
    ended: float
    outcomes: Mapping[str, str]
    growing: Mapping[str, int] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    final: bool = False


@dataclass(frozen=True, slots=True)
class Revoke:
    """The revocation of a code. `ended` is None if it was never acknowledged: it may have happened or not."""

    node: str
    code: str
    began: float
    ended: float | None


@dataclass(slots=True)
class Fault:
    """A cut, kill, restart or restore of a node, a process or the registry.

    A cut ends when it is healed; `ended` is None until then.
    """

    what: str
    where: str
    began: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A broken rule: where, and what was seen."""

    rule: Rule
    node: str
    what: str


class Log:
    """Appends the looks of one process to a file. Written looks survive kill -9."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def add(self, look: Look) -> None:
        # one write: a kill leaves whole lines, but perhaps the last
        self._file.write(json.dumps(asdict(look)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_looks(paths: Iterable[Path]) -> list[Look]:
    """Reads all looks in these files, without a last line that a kill cut off."""
    looks: list[Look] = []
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        looks += [Look(**json.loads(line)) for line in lines if line.endswith("\n")]
    return looks


def write_operations(path: Path, operations: Iterable[Revoke | Fault]) -> None:
    """Writes revocations and faults in the order in which they began."""
    lines = [json.dumps({"operation": type(each).__name__, **asdict(each)}) for each in operations]
    path.write_text(
        "".join(line + "\n" for line in sorted(lines, key=lambda line: json.loads(line)["began"]))
    )


def check_history(looks: Sequence[Look], revokes: Sequence[Revoke]) -> list[Anomaly]:
    """Every broken rule; an empty list for a good history."""
    found: list[Anomaly] = []
    for node in sorted({look.node for look in looks}):
        found += _check_node(node, [look for look in looks if look.node == node])
    found += _check_causes(looks, revokes)
    found += _check_forks(looks)
    found += _check_lost(looks, revokes)
    return found


def _ordered(looks: Sequence[Look]) -> Iterator[tuple[list[Look], Look]]:
    """Each look in order of its beginning, with the looks that ended since the previous one began."""
    running: list[tuple[float, int, Look]] = []
    for number, look in enumerate(sorted(looks, key=lambda each: each.began)):
        over = []
        while running and running[0][0] < look.began:
            over.append(heapq.heappop(running)[2])
        yield over, look
        heapq.heappush(running, (look.ended, number, look))


def _check_node(node: str, looks: Sequence[Look]) -> Iterator[Anomaly]:
    refused: dict[str, float] = {}
    highest: dict[str, int] = {}
    for over, look in _ordered(looks):
        for earlier in over:
            for code, outcome in earlier.outcomes.items():
                if outcome == REVOKED:
                    refused.setdefault(code, earlier.ended)
            for name, value in earlier.growing.items():
                highest[name] = max(value, highest.get(name, value))
        for code, outcome in look.outcomes.items():
            if outcome == VALID and code in refused:
                what = f"{code}: refused until {refused[code]:.3f}, accepted from {look.began:.3f}"
                yield Anomaly(Rule.ACCEPTED_AFTER_REFUSING, node, what)
        for name, value in look.growing.items():
            if value < highest.get(name, value):
                yield Anomaly(Rule.WENT_BACK, node, f"{name}: {highest[name]}, then {value}")


def _check_causes(looks: Sequence[Look], revokes: Sequence[Revoke]) -> Iterator[Anomaly]:
    begun: dict[str, float] = {}
    for revoke in revokes:
        begun[revoke.code] = min(revoke.began, begun.get(revoke.code, revoke.began))
    for look in looks:
        for code, outcome in look.outcomes.items():
            if outcome == REVOKED and look.ended < begun.get(code, float("inf")):
                yield Anomaly(Rule.REFUSED_WITHOUT_CAUSE, look.node, f"{code} at {look.ended:.3f}")


def _check_forks(looks: Sequence[Look]) -> Iterator[Anomaly]:
    first: dict[str, tuple[str, str]] = {}
    for look in looks:
        for name, digest in look.contents.items():
            node, known = first.setdefault(name, (look.node, digest))
            if digest != known:
                yield Anomaly(Rule.FORKED, look.node, f"{name} is {digest}, and {known} at node {node}")


def _check_lost(looks: Sequence[Look], revokes: Sequence[Revoke]) -> Iterator[Anomaly]:
    for look in looks:
        if look.final:
            owed = {each.code for each in revokes if each.ended is not None and each.ended < look.began}
            for code in sorted(owed):
                if look.outcomes.get(code) != REVOKED:
                    what = f"{code}: acknowledged, and {look.outcomes.get(code, 'not asked for')} at the end"
                    yield Anomaly(Rule.LOST, look.node, what)
