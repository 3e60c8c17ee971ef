"""A process that writes to a store and dies by SIGKILL: `killed_writer STORE FOLDER WHERE`."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

from healthcode.wire.claims import Level
from province_node.store.protocols import NodeStore
from province_node.store.records import RevocationReason, StatedLevel
from tests.contract.store.people import add, apply, evidence
from tests.contract.store.stores import GREEN, HOLDER, KID, NOW, RED, STORES, issue, new_code, request, revoke

STEPS = {
    "level": lambda store: store.issuing.record_level({0: StatedLevel(HOLDER, RED, "R1")}, request(), NOW),
    "slice": lambda store: issue(store, 10, 11, statement=RED),
    "revoked": lambda store: revoke(store, 77),
    "killed": lambda store: store.killing.kill_key(
        KID, RevocationReason.FRAUD, request("kill"), b"n" * 8, NOW
    ),
    "evidence": lambda store: add(store, evidence()),
    "derived": lambda store: (add(store, evidence()), apply(store, Level.RED, next_change=NOW + 9)),
}
"""After which call the process dies."""
FLIGHT = "flight"


def write_until_killed(store: NodeStore) -> None:
    """One slice of two items after the other, all of one request; prints the last position that is durable."""
    for number in itertools.count(1):
        holder = number.to_bytes(32)
        asked = request(FLIGHT)
        sequence = store.issuing.record_level({2 * number: StatedLevel(holder, GREEN, "R1")}, asked, NOW)[
            2 * number
        ]
        codes = {position: new_code(position, sequence, holder) for position in (2 * number, 2 * number + 1)}
        store.issuing.record_issue(codes, {}, asked, NOW)
        sys.stdout.write(f"{2 * number + 1}\n")
        sys.stdout.flush()


def main(kind: str, folder: str, where: str) -> None:
    store = STORES[kind](Path(folder))
    if where == FLIGHT:
        write_until_killed(store)
    issue(store, 1, name="before")
    STEPS[where](store)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
