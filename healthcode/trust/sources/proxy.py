"""The forward proxy that the environment names for a mirror: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.

As curl and others read them, in small or capital letters. A mirror on this machine is
never asked through a proxy. `NO_PROXY=*` switches all of it off.
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from healthcode.errors import ConfigurationError

__all__ = ["Proxy", "proxy_of"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, and what it is told of us; `name` is fit for a log, which `headers` is not."""

    url: str
    name: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"Proxy({self.name})"


def proxy_of(url: str) -> Proxy | None:
    """The proxy for a mirror at `url`, if the environment names one. Raises ConfigurationError for one of no use."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = getproxies_environment()
    named = found.get(parts.scheme) or found.get("all")
    if not named or _is_here(host) or proxy_bypass(_with_port(host, parts.port)):
        return None
    try:
        return _proxy(named)
    except ValueError:  # its text may hold a password, so it is not repeated
        raise ConfigurationError(
            f"{parts.scheme.upper()}_PROXY (or ALL_PROXY) names no http proxy: write http://host:port, "
            f"with %-escapes in a user and password, or NO_PROXY={host} to go without"
        ) from None


def _proxy(named: str) -> Proxy:
    """Raises ValueError for what is no address of an http proxy."""
    parts = urlsplit(named if "://" in named else f"http://{named}")
    port = parts.port
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(parts.scheme)
    name = _with_port(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname, port)
    headers: dict[str, str] = {}
    if parts.username is not None:
        # RFC 7617 says UTF-8; urllib3 takes Latin-1 alone
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers = {"proxy-authorization": f"Basic {base64.b64encode(credentials).decode()}"}
    try:
        parse_url(f"{parts.scheme}://{name}")
    except LocationParseError as error:
        raise ValueError(name) from error
    return Proxy(f"{parts.scheme}://{name}", name, headers)


def _with_port(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
