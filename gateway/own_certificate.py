"""The gateway's own certificate: loaded, checked, and reloaded when the files change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.settings import GatewaySettings
from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, HealthcodeError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.tls_files import TlsFiles, check_published, load_tls
from healthcode.telemetry import get_logger

__all__ = ["OwnCertificate", "load_certificate"]

CHECK_SECONDS = 10.0


def load_certificate(settings: GatewaySettings, clock: Clock) -> TlsFiles:
    """The gateway's certificate and key. Raises ConfigurationError if unusable or not the gateway's."""
    tls = settings.tls
    files = load_tls(tls.certificate, tls.private_key, tls.ca, now=clock.now(), realm=settings.realm)
    if files.identity.peer.kind is not PeerKind.GATEWAY:
        raise ConfigurationError(
            f"{tls.certificate} is for {files.identity.peer.uri}: have one issued for "
            f"{PeerId(settings.realm, PeerKind.GATEWAY).uri}"
        )
    return files


class OwnCertificate:
    """The current certificate. `follow` loads a renewed one; while that is unusable, the last good one stays.

    `own_cas` returns the CAs that are published for the gateway: a certificate of another CA is unusable until it is.
    """

    def __init__(
        self, settings: GatewaySettings, clock: Clock, *, own_cas: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._own_cas = own_cas
        self._settings = settings
        self._clock = clock
        self.files = load_certificate(settings, clock)

    async def follow(self) -> None:
        """Checks the files every few seconds, until cancelled."""
        log = get_logger("tls")
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                found = await asyncio.to_thread(load_certificate, self._settings, self._clock)
                if self._clock.now() < self.files.identity.not_after:
                    check_published(found, self._own_cas())
            except HealthcodeError as error:
                log.warning("own_certificate_refused", why=error.message)
                continue
            if found != self.files:
                self.files = found
