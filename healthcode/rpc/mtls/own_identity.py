"""A service's own certificate for the calls that it makes, read again when its files change."""

from __future__ import annotations

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError
from healthcode.rpc.mtls.peer_verifier import published_cas
from healthcode.rpc.mtls.tls_files import TlsFiles, check_published, load_tls, tls_stamp
from healthcode.settings import TlsSettings
from healthcode.telemetry import LogBudget, get_logger
from healthcode.trust.view import TrustView

__all__ = ["OwnIdentity"]


class OwnIdentity:
    """The certificate to show. Files that cannot be used yet are logged, and the last good ones stay in use."""

    def __init__(self, tls: TlsSettings, *, realm: str, clock: Clock) -> None:
        self._tls = tls
        self._realm = realm
        self._clock = clock
        self._files: TlsFiles | None = None
        self._stamp: object = None
        self._log = get_logger("tls")
        self._budget = LogBudget(burst=1, period_seconds=60)  # each call asks

    def current(self, view: TrustView | None) -> TlsFiles:
        """The files to use now. Raises ConfigurationError if none were ever good, or those have expired.

        New files whose CA `view` does not name for us wait: everybody would refuse them.
        """
        stamp = tls_stamp(self._tls)
        if self._files is not None and stamp == self._stamp:
            return self._files
        good = self._files
        now = self._clock.now()
        is_good = good is not None and now < good.identity.not_after
        try:
            files = load_tls(
                self._tls.certificate, self._tls.private_key, self._tls.ca, now=now, realm=self._realm
            )
            if is_good and view is not None:
                check_published(files, published_cas(view, files.identity.peer))
        except ConfigurationError as error:
            if good is None or not is_good:
                raise
            if (left_out := self._budget.take("refused")) is not None:
                self._log.error("tls_reload_refused", why=error.message, left_out=left_out)
            return good
        self._files, self._stamp = files, stamp
        return files
