"""The forward proxy that the environment names for a mirror: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.

Read as curl reads them, in small or capital letters. `NO_PROXY=*` switches all proxies off; it may name networks.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # the second is not in the stubs
    getproxies_environment,
    proxy_bypass_environment,
)

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from healthcode.errors import ConfigurationError

__all__ = ["Proxy", "proxy_of"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address and the headers for it. `name` may be logged; `headers` may hold a password."""

    url: str
    name: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"Proxy({self.name})"


def proxy_of(url: str) -> Proxy | None:
    """The proxy for a mirror at `url`, if the environment names one. Raises ConfigurationError if it is malformed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = getproxies_environment()
    named = found.get(parts.scheme) or found.get("all")
    # a mirror on this machine is never asked through a proxy
    exempt = found.get("no", "").replace(",", " ").split()
    if not named or _is_here(host) or _is_exempt(host, parts.port, exempt):
        return None
    try:
        return _proxy(named)
    except ValueError:  # the text may hold a password, so the message does not repeat it
        raise ConfigurationError(
            f"{parts.scheme.upper()}_PROXY (or ALL_PROXY) names no http proxy: write http://host:port, "
            f"with %-escapes in a user and password, or NO_PROXY={host} to go without"
        ) from None


def _proxy(named: str) -> Proxy:
    """Raises ValueError if `named` is not the address of an http proxy."""
    parts = urlsplit(named if "://" in named else f"http://{named}")
    port = parts.port
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(parts.scheme)
    name = _with_port(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname, port)
    headers: dict[str, str] = {}
    if parts.username is not None:
        # RFC 7617 allows UTF-8; urllib3 encodes only Latin-1
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers = {"proxy-authorization": f"Basic {base64.b64encode(credentials).decode()}"}
    try:
        parse_url(f"{parts.scheme}://{name}")
    except LocationParseError as error:
        raise ValueError(name) from error
    return Proxy(f"{parts.scheme}://{name}", name, headers)


def _with_port(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def _is_exempt(host: str, port: int | None, exempt: Sequence[str]) -> bool:
    """Whether NO_PROXY names the host: by name, by the end of a name, by address, or by a network (CIDR)."""
    if proxy_bypass_environment(_with_port(host, port), {"no": ",".join(exempt)}):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in map(_network, exempt) if network is not None)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
