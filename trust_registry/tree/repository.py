"""The trust tree and its one writer: a writer keeps the lock from reading the current state to the end of its change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, UnavailableError
from healthcode.storage.files import save_file
from healthcode.storage.lock import lock
from healthcode.trust.format.layout import AREAS_ROLE, metadata_file
from healthcode.trust.format.metadata_fields import signed_at
from healthcode.trust.verify.rollback import verify_no_fast_forward
from trust_registry.layout import RegistryFolder
from trust_registry.tree.current import NodeClaim, Published
from trust_registry.tree.event_log import EventKind, EventLog
from trust_registry.tree.files import TrustTree
from trust_registry.tree.high_water import HighWater, read_high_water, verify_evidence, write_high_water
from trust_registry.tree.online_keys import OnlineKeys
from trust_registry.tree.transaction import Receipt, RoleUpdate, Transaction, sign_areas, signers_of

__all__ = ["Repository"]


class Repository:
    """A registry's tree, and the online keys that publish into it; without keys it is read-only."""

    def __init__(
        self,
        folder: RegistryFolder,
        keys: OnlineKeys | None,
        clock: Clock,
        *,
        reopen: Callable[[], OnlineKeys] | None = None,
        claims: Callable[[], Mapping[str, NodeClaim]] = dict,
        events: EventLog,
    ) -> None:
        """`reopen` reads the online keys again, if root names one that was made after the start.

        `claims` gives what each node says of itself, by node.
        """
        self.folder = folder
        self.tree = TrustTree(folder.repository)
        self.clock = clock
        self._keys = keys
        self._reopen = reopen
        self._claims = claims
        self.events = events

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Takes the writer's lock and gives the current state with the means to change it.

        Raises UnavailableError just after a restore, when nodes may have newer versions than this registry knows.
        """
        with self._transaction() as transaction:
            if self.awaits_reports:
                raise UnavailableError(
                    "this registry was restored from a backup, and takes and signs nothing before nodes have reported "
                    "what they have: `trust-registry status` says so; try again in two minutes",
                    retry_after_seconds=10,
                )
            yield transaction

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with lock(self.folder.lock):
            transaction = Transaction(
                self.tree,
                self._keys,
                self.clock.now(),
                self.high_water(),
                self._claims,
                events=self.events,
                reopen=self._reopen,
            )
            yield transaction
            self._keys = transaction.open_keys

    @property
    def awaits_reports(self) -> bool:
        """Whether this registry was restored, and signs nothing before nodes have reported what they have."""
        return os.path.lexists(self.folder.restored)  # also as a link that leads nowhere

    def end_restore(self) -> None:
        """Publishes above everything that nodes have proved since the restore; from now on all may publish."""
        with self._transaction() as transaction:
            transaction.resume()
        self.folder.restored.unlink(missing_ok=True)

    def published(self) -> Published:
        """The current state, read without the lock."""
        return Published(self.tree, self.high_water(), self._claims)

    def high_water(self) -> HighWater:
        """The highest versions published before a restore, and the accepted losses."""
        return read_high_water(self.folder.high_water)

    def resume_above(self, timestamp: bytes, snapshot: bytes) -> bool:
        """Continues above the versions that a node proves it has; durable. False if none is newer than ours.

        Raises SignatureError, TrustError or DecodeError if the evidence is invalid, and
        TrustError (TRUST_FAST_FORWARD) if so many versions cannot have been published since.
        """
        with self._transaction() as transaction:
            published = transaction.current
            found = verify_evidence(published.root.signed, timestamp, snapshot)
            roles = {
                role: version
                for role, version in found.roles.items()
                if version >= published.next_version(role)
            }
            if (
                not roles
                and found.timestamp < published.next_timestamp
                and found.snapshot < published.next_snapshot
            ):
                return False
            seconds = self.clock.now() - signed_at(published.timestamp.signed)
            verify_no_fast_forward("timestamp", published.next_timestamp, found.timestamp, seconds)
            verify_no_fast_forward("snapshot", published.next_snapshot, found.snapshot, seconds)
            write_high_water(self.folder.high_water, self.high_water().raised(found))
        if transaction.can_publish and not self.awaits_reports:
            with self.transaction() as transaction:
                transaction.resume()
        return True

    def renew(self) -> Receipt:
        """Re-signs the timestamp, and the snapshot and areas once half of their lifetime is over."""
        with self.transaction() as transaction:
            return transaction.renew()

    def found(self, root: bytes, targets: RoleUpdate, risk: Mapping[str, bytes]) -> Receipt:
        """Publishes for the first time, at the end of the ceremony. Raises ConfigurationError if there is a tree."""
        with lock(self.folder.lock):
            if self.tree.exists:
                raise ConfigurationError(
                    f"{self.folder.repository} has a trust tree already: a realm is founded once"
                )
            transaction = Transaction(
                self.tree, self._keys, self.clock.now(), HighWater(), events=self.events, founding=True
            )
            self.events.record(EventKind.FOUNDED, "root version 1", who=signers_of(root))
            save_file(self.tree.locate(metadata_file("root", 1)), root)
            areas = sign_areas(transaction.keys.areas, 1, risk, transaction.now)
            return transaction.publish({"targets": targets, AREAS_ROLE: areas})
