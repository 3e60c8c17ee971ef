"""The forward proxy that the environment names for a mirror: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.

As curl and others read them, in small or capital letters. A mirror on this machine is
never asked through a proxy. `NO_PROXY=*` switches all of it off.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from urllib3.util import make_headers

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
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    try:
        port = proxy.port
    except ValueError:
        port = 0
    if proxy.scheme not in ("http", "https") or not proxy.hostname or port == 0:
        raise ConfigurationError(
            f"{parts.scheme.upper()}_PROXY (or ALL_PROXY) names no http proxy: write http://host:port, "
            f"or NO_PROXY={host} to go without"
        )
    name = _with_port(f"[{proxy.hostname}]" if ":" in proxy.hostname else proxy.hostname, port)
    headers: dict[str, str] = {}
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers = dict(make_headers(proxy_basic_auth=credentials))
    return Proxy(f"{proxy.scheme}://{name}", name, headers)


def _with_port(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
