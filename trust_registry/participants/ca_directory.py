"""The TLS CAs under which provinces and the gateway may connect, reloaded after each publication."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from healthcode.errors import HealthcodeError, InternalError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.telemetry import get_logger
from healthcode.trust.format.layout import authority_role
from healthcode.trust.verify.tls_ca import TlsCaFault, published_tls_cas, select_tls_cas
from trust_registry.participants.checks import authority_of
from trust_registry.tree.current import Published
from trust_registry.tree.files import TrustTree

__all__ = ["CaDirectory"]

_Key = tuple[PeerKind, str | None]


class CaDirectory:
    """The published CAs, by peer.

    gRPC asks at every new connection, from threads of its own. The table is immutable and replaced as a whole.
    """

    def __init__(self, tree: TrustTree) -> None:
        self._tree = tree
        self._identity: object = None
        self._lock = threading.Lock()
        self._table: dict[_Key, tuple[str, ...]] = {}
        self._own: tuple[str, ...] = ()
        self._published: dict[str, tuple[str, ...]] = {}
        self._faults: tuple[TlsCaFault, ...] = ()
        self._versions: dict[str, tuple[int, int]] = {}
        self._log = get_logger("directory")

    def renew(self) -> None:
        """Reads what was published since the last call; costs one stat if nothing was.

        Raises ConfigurationError if the tree is damaged; the table then stays as it was.
        """
        with self._lock:
            identity = self._tree.identity()
            if identity != self._identity:
                self._take_in(Published(self._tree))
                self._identity = identity

    def _take_in(self, published: Published) -> None:
        unchanged: dict[str, tuple[str, ...]] = {}
        fresh: dict[str, tuple[str, ...]] = {}
        versions: dict[str, tuple[int, int]] = {}
        targets = published.version_of("targets")
        document = published.participants
        for code in published.members:
            versions[code] = (targets, published.version_of(authority_role(code)))
            if self._versions.get(code) == versions[code]:
                unchanged[code] = self._published.get(code, ())
                continue
            try:
                fresh[code] = authority_of(published, code).province.tls_ca
            except Exception as error:  # noqa: BLE001  no file of one participant may keep anybody else out
                known = (
                    error
                    if isinstance(error, HealthcodeError)
                    else InternalError(f"a fault of ours: {type(error).__name__}")
                )
                self._log.error(
                    "participant_left_out", participant=code, reason=known.reason.value, why=known.message
                )
        # if two claim the same subject, the one that had it before keeps it: the unchanged come first
        provinces = {**unchanged, **fresh}
        anchors, faults = select_tls_cas(published_tls_cas(document.services, provinces))
        for fault in faults:
            if fault not in self._faults:
                self._log.error("ca_left_out", owner=fault.owner, why=fault.message)
        table: dict[_Key, tuple[str, ...]] = {(PeerKind.PROVINCE, code): anchors[code] for code in provinces}
        gateway = document.services.get("gateway")
        if gateway is not None:
            table[PeerKind.GATEWAY, None] = (gateway.ca_pem,)
        registry = document.services.get("registry")
        self._own = () if registry is None else (registry.ca_pem,)
        self._published, self._faults = provinces, faults
        self._table, self._versions = table, versions

    def cas_for(self, peer: PeerId) -> Sequence[str]:
        """The CAs that may have issued this peer's certificate; empty if there is none."""
        return self._table.get((peer.kind, peer.participant), ())

    def own(self) -> Sequence[str]:
        """The CAs that are published for the registry itself, after a reload."""
        self.renew()
        return self._own

    def all(self) -> Sequence[str]:
        """Every CA that may have issued a client's certificate, after a reload."""
        self.renew()
        table = self._table
        return tuple(dict.fromkeys(pem for pems in table.values() for pem in pems))
