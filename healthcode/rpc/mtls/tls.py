"""TLS of a listener. Certificates and CAs may change while it serves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from healthcode.clock import Clock, SystemClock
from healthcode.errors import ConfigurationError, HealthcodeError
from healthcode.identity.peer import PeerId
from healthcode.rpc.mtls.certificate import encode_pool
from healthcode.rpc.mtls.tls_files import TlsFiles, check_published, load_tls, tls_stamp
from healthcode.settings import TlsSettings
from healthcode.telemetry import LogBudget, get_logger

__all__ = ["ServerTls", "TlsReloader"]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """A listener's certificate, and the CAs that it accepts clients of.

    `client_cas` returns CAs (PEM); gRPC calls it from its own thread at each new connection, so it must read an
    immutable view. The listener's own CA is always accepted. None: clients show no certificate.
    `peer` is whom the listener's certificate must name. `own_cas` returns the CAs that are published for it, none
    before that: new files of another CA wait until it is published, unless the old certificate has expired.
    """

    files: TlsSettings
    client_cas: Callable[[], Sequence[str]] | None
    realm: str | None = None
    peer: PeerId | None = None
    own_cas: Callable[[], Sequence[str]] = tuple
    clock: Clock = SystemClock()  # noqa: RUF009  it has no state


class TlsReloader:
    """Reloads a listener's TLS configuration when its files or CAs change; invalid files are logged and not used.

    `tell_refused` hears 1 when new files cannot be used, 0 when those on disk are in use. Raises ConfigurationError at
    the start if the files are invalid.
    """

    def __init__(self, tls: ServerTls, *, tell_refused: Callable[[int], None] = lambda _: None) -> None:
        self._tls = tls
        self._tell_refused = tell_refused
        self._lock = threading.Lock()
        self._log = get_logger("tls")
        self._budget = LogBudget(burst=3, period_seconds=60)  # each connection of a stranger asks
        self._stamp = tls_stamp(tls.files)
        self._files = self._load()
        self._pool = self._client_pool(self._files)

    @property
    def files(self) -> TlsFiles:
        """The files in use."""
        return self._files

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files and CAs."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._fetch,  # type: ignore[arg-type]  # the stubs do not know None for no change
            require_client_authentication=self._tls.client_cas is not None,
        )

    def _load(self) -> TlsFiles:
        files, wanted = self._tls.files, self._tls.peer
        loaded = load_tls(
            files.certificate, files.private_key, files.ca, now=self._tls.clock.now(), realm=self._tls.realm
        )
        if wanted is not None and loaded.identity.peer != wanted:
            raise ConfigurationError(
                f"{files.certificate} names {loaded.identity.peer.uri}, and this is {wanted.uri}: "
                "put the certificate and key of this service there"
            )
        return loaded

    def _reload(self) -> TlsFiles:
        files = self._load()
        if self._tls.clock.now() < self._files.identity.not_after:
            check_published(files, self._tls.own_cas())
        return files

    def _client_pool(self, files: TlsFiles) -> tuple[str, ...] | None:
        if self._tls.client_cas is None:
            return None
        return tuple(dict.fromkeys((files.ca_pem.decode(), *self._tls.client_cas())))

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        pool = None if self._pool is None else encode_pool(self._pool)
        return grpc.ssl_server_certificate_configuration(
            [(self._files.key_pem, self._files.certificate_pem)], root_certificates=pool
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC at each new connection: the new configuration, or None for no change."""
        with self._lock:
            try:
                files = self._newest()
                pool = self._client_pool(files)
            except (HealthcodeError, OSError) as error:
                self._refuse(error)
                return None
            except Exception:  # noqa: BLE001  in gRPC's thread it would refuse the connection
                if (left_out := self._budget.take("failed")) is not None:
                    self._log.exception("tls_reload_failed", left_out=left_out)
                return None
            if files is self._files and pool == self._pool:
                return None
            self._files, self._pool = files, pool
            self._log.info("tls_reloaded", client_cas=len(pool or ()))
            return self._configuration()

    def _newest(self) -> TlsFiles:
        """The files to use now: while new ones cannot be used, those that are in use. The CAs of clients still change."""
        stamp = tls_stamp(self._tls.files)
        if stamp == self._stamp:
            self._tell_refused(0)
            return self._files
        try:
            files = self._reload()
        except (HealthcodeError, OSError) as error:
            self._tell_refused(1)
            self._refuse(error)
            return self._files
        self._tell_refused(0)
        self._stamp = stamp
        return files

    def _refuse(self, error: Exception) -> None:
        if (left_out := self._budget.take("refused")) is not None:
            self._log.error("tls_reload_refused", why=str(error), left_out=left_out)
