"""What happened in a federation, and whether it was allowed to happen (pure).

As etcd's and Jepsen's checkers do: every operation is logged with the moments at which it
began and ended, on one clock. Two operations of which neither ended before the other
began are concurrent, and nothing is said of their order; of all others a rule may speak:

    ACCEPTED_AFTER_REFUSING   a node accepted a code that it had refused as revoked
    WENT_BACK                 a number that only grows (a version, a count of revoked) fell at a node
    REFUSED_WITHOUT_CAUSE     a node refused a code that nobody had begun to revoke
    FORKED                    two nodes saw other contents under one version
    LOST                      a revocation was acknowledged, and when all had come to rest a node did not refuse

The first three hold through crashes and restarts: a node is the same node afterwards.
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
    """What a history can break."""

    ACCEPTED_AFTER_REFUSING = "ACCEPTED_AFTER_REFUSING"
    WENT_BACK = "WENT_BACK"
    REFUSED_WITHOUT_CAUSE = "REFUSED_WITHOUT_CAUSE"
    FORKED = "FORKED"
    LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Look:
    """What a node answered and knew between two moments (seconds, one clock for all).

    `outcomes` is by code; `growing` are the numbers that only grow, by name; `contents` gives a
    digest by "what@version", the same wherever it is seen. `final` is a look after all had come to rest.
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
    """A code that somebody revoked; `ended` is None when it was never acknowledged, and may have happened or not."""

    node: str
    code: str
    began: float
    ended: float | None


@dataclass(slots=True)
class Fault:
    """What was done to a node, a process of nodes or the registry: a cut, a kill, a restart, a restore.

    From its beginning to its end, the heal of a cut; `ended` is None while it lasts.
    """

    what: str
    where: str
    began: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A rule that was broken: where, and what was seen."""

    rule: Rule
    node: str
    what: str


class Log:
    """Appends the looks of one process to a file: what was written is there after kill -9."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def add(self, look: Look) -> None:
        # one write: a kill leaves whole lines, but perhaps the last
        self._file.write(json.dumps(asdict(look)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_looks(paths: Iterable[Path]) -> list[Look]:
    """All looks in these files; a last line that was cut off by a kill is left out."""
    looks: list[Look] = []
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        looks += [Look(**json.loads(line)) for line in lines if line.endswith("\n")]
    return looks


def write_operations(path: Path, operations: Iterable[Revoke | Fault]) -> None:
    """What was asked for and what was done to whom, by its beginning: read beside the looks of the same folder."""
    lines = [json.dumps({"operation": type(each).__name__, **asdict(each)}) for each in operations]
    path.write_text(
        "".join(line + "\n" for line in sorted(lines, key=lambda line: json.loads(line)["began"]))
    )


def check_history(looks: Sequence[Look], revokes: Sequence[Revoke]) -> list[Anomaly]:
    """Every rule that was broken; an empty list for a history that is as it must be."""
    found: list[Anomaly] = []
    for node in sorted({look.node for look in looks}):
        found += _check_node(node, [look for look in looks if look.node == node])
    found += _check_causes(looks, revokes)
    found += _check_forks(looks)
    found += _check_lost(looks, revokes)
    return found


def _ordered(looks: Sequence[Look]) -> Iterator[tuple[list[Look], Look]]:
    """Each look by its beginning, with those that have ended since the one before it began."""
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
