"""Reads from the store what the running node has recorded, for commands."""

from __future__ import annotations

import time
from collections.abc import Iterator

from healthcode.clock import rfc3339
from healthcode.errors import Reason
from healthcode.revocation.head import decode_head
from province_node.operations.warnings import publish_warnings
from province_node.settings import NodeSettings
from province_node.store.opening import open_store
from province_node.store.publication import PublishFailure

__all__ = ["publishing_warnings", "read_store", "wait_for_publication", "wait_until_killed"]

_PUBLISHED_SECONDS = 10.0
_LOOK_SECONDS = 0.1


def publishing_warnings(settings: NodeSettings, now: int) -> Iterator[str]:
    """Warns if revocations are not being published. Yields nothing if there is no database yet."""
    if not settings.database.exists():
        return
    store = open_store(settings.database)
    try:
        publication, failure = store.publishing.publication(), store.publishing.publish_failure()
        waiting = store.publishing.last_revocation() - (0 if publication is None else publication.through)
    finally:
        store.close()
    yield from publish_warnings(
        publication, failure, waiting, resign_seconds=settings.publish.resign_seconds, now=now
    )


def wait_for_publication(settings: NodeSettings) -> str:
    """Waits until the revocations recorded so far are published. Returns the head, or why there is none.

    Does not wait if publishing is known to fail.
    """
    store = open_store(settings.database)
    try:
        through = store.publishing.last_revocation()
        until = time.monotonic() + _PUBLISHED_SECONDS
        while True:
            publication, failure = store.publishing.publication(), store.publishing.publish_failure()
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
        return (
            f"{said}the registry has not acknowledged it; see `province-node status`. The node keeps trying"
        )
    if failure.reason is Reason.SERVICE_UNAVAILABLE:
        said += "the registry is out of reach. Until it answers, other nodes still accept these codes. "
    return f"{said}{failure.reason}: {failure.message}. The node keeps trying"


def wait_until_killed(settings: NodeSettings, kid: bytes) -> int | None:
    """The version of the acknowledged head that kills the key; None if there is none within some seconds."""
    store = open_store(settings.database)
    try:
        until = time.monotonic() + _PUBLISHED_SECONDS
        while time.monotonic() < until:
            last = store.publishing.publication()
            if last is not None:
                head = decode_head(last.head, realm=settings.realm, issuer=settings.participant)
                if kid in head.killed_kids:
                    return last.version
            time.sleep(_LOOK_SECONDS)
    finally:
        store.close()
    return None


def read_store(settings: NodeSettings, now: int) -> dict[str, object]:
    store = open_store(settings.database)
    try:
        publication, counts = store.publishing.publication(), dict(store.counts(now))
        waiting = store.publishing.last_revocation() - (publication.through if publication is not None else 0)
        killed = store.killing.killed_kids()
    finally:
        store.close()
    if publication is None:
        return {**counts, "published_head": None}
    head = decode_head(publication.head, realm=settings.realm, issuer=settings.participant)
    return {
        **counts,
        "published_head": publication.version,
        "published_at": rfc3339(publication.signed_at),
        "revocations_waiting": waiting,
        "keys_killed_waiting": len(killed - head.killed_kids),
    }
