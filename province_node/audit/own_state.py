"""Entries of what the node's own people change in files: settings, certificate, keys. Each change leaves one entry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from healthcode.audit.entry import AuditEntry
from healthcode.audit.events import AuditEvent
from healthcode.clock import Clock
from healthcode.errors import HealthcodeError
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.tls_files import load_tls
from province_node.keys.keyring import Keyring
from province_node.settings import NodeSettings
from province_node.store.audit_protocol import AuditStore

__all__ = ["OwnState"]

_BY_NODE = "node"  # who changed a file, the node cannot know
_KEYS_NAMED = 64
_State = Mapping[AuditEvent, Mapping[str, object]]


class OwnState:
    """Compares settings, certificate and keys with the newest entries about them. Blocks."""

    def __init__(
        self,
        settings: NodeSettings,
        keyring: Keyring,
        store: AuditStore,
        clock: Clock,
        *,
        certificate: Callable[[], str] | None = None,
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._certificate = certificate or self._read_certificate
        self._noted: dict[AuditEvent, Mapping[str, object]] = {}

    def note(self) -> None:
        """Records what differs from the log. Call it at start, and every now and then."""
        changed, states = [], self._now()
        for event, state in states.items():
            before = self._noted.get(event)
            if before is None:
                newest = self._store.newest(event, _BY_NODE)
                before = {} if newest is None else newest.entry.content
            if before != state:
                changed.append(AuditEntry(event, _BY_NODE, "", _BY_NODE, state))
        if changed:
            self._store.record(changed, self._clock.now())
        # behind the write: what it refuses is recorded at the next look
        self._noted |= states

    def _now(self) -> _State:
        # a digest: paths and addresses are nothing for a log that is kept for years
        settings = hashlib.sha256(self._settings.model_dump_json().encode()).digest()
        keys = sorted(
            f"{info.purpose} {info.kid.hex()}"
            for info in self._keyring.opened.values()
            if info.public is not None
        )
        named = keys[:_KEYS_NAMED]
        state: dict[AuditEvent, Mapping[str, object]] = {
            AuditEvent.SETTINGS_CHANGED: {"sha256": settings},
            AuditEvent.KEYS_CHANGED: {
                "sha256": hashlib.sha256("\n".join(keys).encode()).digest(),
                "keys": named,
            },
        }
        certificate = self._certificate()
        if certificate:
            state[AuditEvent.CERTIFICATE_CHANGED] = {"public_key": certificate}
        return state

    def _read_certificate(self) -> str:
        """The public key of the certificate; empty while its file cannot be read, which others report."""
        tls = self._settings.tls
        try:
            loaded = load_tls(tls.certificate, tls.private_key, tls.ca, now=self._clock.now())
        except HealthcodeError:
            return ""
        return public_key_of(loaded.certificate_pem)
