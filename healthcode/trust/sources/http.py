"""Trust files from any web server, over http or https, within limits of bytes and time.

Plain http is enough, since every file is verified after it was fetched.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from urllib.parse import quote, urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as HttpTimeoutError

from healthcode.errors import (
    ConfigurationError,
    NotFoundError,
    Reason,
    RefusedServerError,
    TrustError,
    UnavailableError,
)
from healthcode.trust.sources.proxy import Proxy, proxy_of
from healthcode.trust.sources.trust_source import FileUnavailableError, allowed_seconds, too_large
from healthcode.trust.sources.watchdog import Watchdog

__all__ = ["HttpSource", "check_mirror_url"]

_CHUNK_BYTES = 65_536
_MAX_REDIRECTS = 3
_MISSING = frozenset({403, 404, 410})  # object stores answer 403 for a missing file
# labels of object stores for plain bytes
_AS_IT_IS = frozenset({"", "identity", "aws-chunked"})
# an edge may keep these, or that there is none, for minutes: ask for the present ones
_ALWAYS_ASKED = re.compile(r"metadata/(timestamp|[0-9]+\.root)\.json")
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~"


def check_mirror_url(url: str) -> str:
    """`url`, if it can be a mirror's address. Raises ConfigurationError that says what to write."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
        parts = urlsplit("")
    if not sound:
        raise ConfigurationError(f"{url} is no mirror: write https://host/folder")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"the mirror at {parts.hostname}: its address must not have a user, `?` or `#`"
        )
    return url


class HttpSource:
    """A TrustSource over http or https. Runs one fetch at a time; safe to call from many threads.

    `ca_pem`: the CA of the server's certificate, instead of the system's CAs. A file may take
    `timeout_seconds`, plus a second for each 64 KiB of its size limit. `use_proxy`: use the proxy
    that the environment names, if any.
    """

    def __init__(
        self, url: str, *, ca_pem: str | None = None, timeout_seconds: float = 10.0, use_proxy: bool = True
    ) -> None:
        check_mirror_url(url)
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        self._base = parts.path
        self._proxy = proxy_of(self._url) if use_proxy else None
        # over http a proxy gets the whole address, over https a request for a tunnel
        self._origin = f"http://{parts.netloc}" if self._proxy is not None and parts.scheme == "http" else ""
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._watchdog = Watchdog()
        self._pool = self._open_pool(ca_pem)

    @property
    def name(self) -> str:
        return self._url

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()
        self._watchdog.cut()

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """The whole file; see TrustSource.fetch. UnavailableError(SOURCE_SLOW) if it takes too long."""
        url = f"{self._base}/{quote(path, safe=_PATH_CHARACTERS)}"
        seconds = allowed_seconds(self._timeout_seconds, max_bytes)
        with self._lock, self._watchdog.limit(seconds) as cut:
            try:
                data = self._fetch(url, path, max_bytes)
            except (HTTPError, OSError) as error:
                # urllib3 counts a refused connection as a time-out
                timed_out = isinstance(error, HttpTimeoutError) and not isinstance(error, NewConnectionError)
                if cut.is_set() or timed_out:
                    raise self._slow(path, seconds) from error
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise RefusedServerError(f"{self._url}: {_plain(error)}") from error
                raise UnavailableError(
                    f"{self._url} is out of reach{self._through}: {_plain(error)}",
                    reason=Reason.TRUST_UNAVAILABLE,
                ) from error
            if cut.is_set():  # a cut can look like the end of the file
                raise self._slow(path, seconds)
            return data

    @property
    def _through(self) -> str:
        return "" if self._proxy is None else f" through the proxy {self._proxy.name}"

    def _slow(self, path: str, seconds: float) -> UnavailableError:
        return UnavailableError(
            f"{self._url}: {path} did not come in {seconds:.0f} s", reason=Reason.SOURCE_SLOW
        )

    def _fetch(self, url: str, path: str, max_bytes: int) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                response = self._get(url, path)
            except ProtocolError:
                # a server may close an idle connection just when we reuse it
                response = self._get(url, path)
            try:
                target = response.get_redirect_location()
                if not target:
                    return self._read(response, path, max_bytes)
                response.drain_conn()
            finally:
                response.release_conn()
            url = self._redirected(url, target)
        raise UnavailableError(
            f"{self._url}: {path} is redirected too often", reason=Reason.TRUST_UNAVAILABLE
        )

    def _get(self, url: str, path: str) -> urllib3.BaseHTTPResponse:
        return self._pool.urlopen(
            "GET",
            f"{self._origin}{url}",
            headers={
                "Accept-Encoding": "identity",
                "User-Agent": "healthcode",
                **({"Cache-Control": "no-cache"} if _ALWAYS_ASKED.fullmatch(path) else {}),
                **(self._proxy.headers if self._proxy is not None and self._origin else {}),
            },
            redirect=False,
            assert_same_host=False,  # over http the pool's connections go to the proxy
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(self._timeout_seconds),
        )

    def _read(self, response: urllib3.BaseHTTPResponse, path: str, max_bytes: int) -> bytes:
        if response.status in _MISSING:
            raise NotFoundError(f"{self._url} has no file {path}")
        if response.status != 200:
            raise FileUnavailableError(
                f"{self._url} answers {response.status} for {path}{self._through}",
                reason=Reason.TRUST_UNAVAILABLE,
            )
        encoding = response.headers.get("Content-Encoding", "")
        if not {each.strip().lower() for each in encoding.split(",")} <= _AS_IT_IS:
            raise TrustError(
                f"{self._url}: {path} comes as {encoding[:40]!r}; the mirror must serve files as they are",
                reason=Reason.MALFORMED_MESSAGE,
            )
        data = bytearray()
        while chunk := response.read1(min(_CHUNK_BYTES, max_bytes + 1 - len(data))):
            data += chunk
            if len(data) > max_bytes:
                raise too_large(path, max_bytes, self._url)
        if path.endswith(".json") and data.lstrip()[:1] == b"<":
            raise UnavailableError(
                f"{self._url} answers {path} with a web page{self._through}: is there a log-in page of this "
                "network, or an error page of a proxy? Open the address in a browser",
                reason=Reason.TRUST_UNAVAILABLE,
            )
        return bytes(data)

    def _redirected(self, url: str, target: str) -> str:
        # A redirect is followed only within the same scheme and host.
        here = urlsplit(self._url)
        try:
            parts = urlsplit(urljoin(f"{here.scheme}://{here.netloc}{url}", target))
        except ValueError as error:
            raise UnavailableError(
                f"{self._url} redirects to a malformed address", reason=Reason.TRUST_UNAVAILABLE
            ) from error
        if (parts.scheme, parts.netloc) != (here.scheme, here.netloc):
            raise UnavailableError(
                f"{self._url} redirects to another server, which is not followed; name that one instead",
                reason=Reason.TRUST_UNAVAILABLE,
            )
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"

    def _open_pool(self, ca_pem: str | None) -> urllib3.HTTPConnectionPool:
        base: type[HTTPConnection] = HTTPConnection
        if urlsplit(self._url).scheme == "http":
            pool = _pool(self._url, self._proxy)
        else:
            base = HTTPSConnection
            try:
                context = ssl.create_default_context(cadata=ca_pem)
            except ssl.SSLError as error:
                raise ConfigurationError(
                    f"the CA given for {self._url} is not a certificate (PEM)"
                ) from error
            pool = _pool(self._url, self._proxy, context)
        watchdog = self._watchdog

        class Watched(base):  # type: ignore[misc, valid-type]  # one of two classes, chosen by the scheme
            def _new_conn(self) -> socket.socket:
                sock: socket.socket = super()._new_conn()
                watchdog.hold(sock)
                return sock

        pool.ConnectionCls = Watched
        return pool


def _pool(url: str, proxy: Proxy | None, context: ssl.SSLContext | None = None) -> urllib3.HTTPConnectionPool:
    manager = urllib3.PoolManager(maxsize=1, ssl_context=context)
    if proxy is not None:
        manager = urllib3.ProxyManager(proxy.url, proxy_headers=proxy.headers, maxsize=1, ssl_context=context)
    return manager.connection_from_url(url)


def _plain(error: Exception) -> str:
    """A plain sentence for an error of the libraries."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its certificate is not one to trust"
    cause: BaseException | None = error
    while cause is not None and not getattr(cause, "strerror", None):
        cause = cause.__cause__
    return str(getattr(cause, "strerror", None) or type(error).__name__)
