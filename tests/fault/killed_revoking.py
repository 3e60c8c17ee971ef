"""A process that revokes a selection in pieces, and dies at a pause: `killed_revoking FOLDER PAUSE` (0: it is killed)."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from pathlib import Path

from province_node.store.records import IssuedUnder, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.contract.store.stores import NOW, request

SELECTION = IssuedUnder(NOW, NOW + 1, rule="R1")


def main(folder: str, pause: str) -> None:
    pauses, sleep = itertools.count(1), time.sleep

    def die(seconds: float) -> None:
        if next(pauses) == int(pause):
            os.kill(os.getpid(), signal.SIGKILL)
        sleep(seconds)

    time.sleep = die
    store = SqliteNodeStore(Path(folder) / "node.db")
    store.revoking.revoke_issued_under(SELECTION, RevocationReason.FRAUD, request("all"), NOW)


if __name__ == "__main__":
    main(*sys.argv[1:])
