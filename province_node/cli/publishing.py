"""Whether what was just recorded went out: the store says, which the running node writes. Reads only."""

from __future__ import annotations

import time
from collections.abc import Iterator

from healthcode.errors import Reason
from province_node.record import PublishFailure
from province_node.settings import NodeSettings
from province_node.store import NodeStore
from province_node.warning import publish_warnings

__all__ = ["publishing_warnings", "wait_for_publication"]

_PUBLISHED_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def publishing_warnings(settings: NodeSettings, now: int) -> Iterator[str]:
    """What `status` says of revocations that do not go out; nothing before there is a database."""
    if not settings.database.exists():
        return
    store = NodeStore(settings.database)
    try:
        publication, failure = store.publication(), store.publish_failure()
        waiting = store.last_revocation() - (0 if publication is None else publication.through)
    finally:
        store.close()
    yield from publish_warnings(
        publication, failure, waiting, resign_seconds=settings.publish.resign_seconds, now=now
    )


def wait_for_publication(settings: NodeSettings) -> str:
    """What to say of revocations that were just recorded: in which head they are, or that they are in none, and why.

    Waits some seconds, and not at all where publishing is known to fail.
    """
    store = NodeStore(settings.database)
    try:
        through = store.last_revocation()
        until = time.monotonic() + _PUBLISHED_SECONDS
        while True:
            publication, failure = store.publication(), store.publish_failure()
            if publication is not None and publication.through >= through:
                return f"head {publication.version}: other nodes refuse them within seconds"
            if failure is not None or time.monotonic() >= until:
                return _not_yet(failure)
            time.sleep(_LOOK_SECONDS)
    finally:
        store.close()


def _not_yet(failure: PublishFailure | None) -> str:
    said = "recorded, NOT published yet: "
    if failure is None:
        return f"{said}the registry has not acknowledged it; see `province-node status`. It is tried again by itself"
    if failure.reason is Reason.SERVICE_UNAVAILABLE:
        said += "the registry is out of reach, and until it answers other nodes pass these codes. "
    return f"{said}{failure.reason}: {failure.message}. It is tried again by itself"
