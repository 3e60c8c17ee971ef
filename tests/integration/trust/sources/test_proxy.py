"""Mirrors through a forward proxy, as the environment names one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from healthcode.errors import ConfigurationError, NotFoundError, RefusedServerError, UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.trust.sources.http import HttpSource
from healthcode.trust.sources.proxy import proxy_of
from tests.integration.trust.sources.test_http import server_context
from tests.simulator.forward_proxy import ForwardProxy, run_forward_proxy
from tests.simulator.mirror import Mirror, run_mirror

FILE = "metadata/timestamp.json"
NAME = "mirror.test"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with run_mirror({FILE: b"12345"}) as mirror:
        yield mirror


@pytest.fixture
def proxy(mirror: Mirror) -> Iterator[ForwardProxy]:
    with run_forward_proxy(urlsplit(mirror.url).netloc) as proxy:
        yield proxy


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_mirror_over_http(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    """The proxy is asked for the whole address; a missing file is missing through it, too."""
    monkeypatch.setenv(variable, f"{scheme}{proxy.address}")
    source = HttpSource(f"http://{NAME}/trust")
    assert source.fetch(FILE, 100) == b"12345"
    assert proxy.asked == [f"GET http://{NAME}/trust/{FILE}"]
    with pytest.raises(NotFoundError):
        source.fetch("metadata/none.json", 100)
    source.close()


def test_a_mirror_over_https_is_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees a name and no path; whose certificate it is, is ours to check, not the proxy's."""
    now = int(time.time())
    ca = make_ca("a mirror's CA", days=30, now=now)
    leaf = issue_leaf(ca, PeerId("test-mirror", PeerKind.REGISTRY), dns_names=[NAME], days=30, now=now)
    context = server_context(tmp_path, ca, now)
    leaf.write(tmp_path / "named.pem", tmp_path / "named.key")
    context.load_cert_chain(tmp_path / "named.pem", tmp_path / "named.key")
    with (
        run_mirror({FILE: b"12345"}, tls=context) as mirror,
        run_forward_proxy(urlsplit(mirror.url).netloc) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        source = HttpSource(f"https://{NAME}/trust", ca_pem=ca.certificate_pem.decode())
        assert source.fetch(FILE, 100) == b"12345"
        assert proxy.asked == [f"CONNECT {NAME}:443"]
        source.close()
        other = HttpSource("https://other.test/trust", ca_pem=ca.certificate_pem.decode())
        with pytest.raises(RefusedServerError):
            other.fetch(FILE, 100)
        other.close()


def test_credentials_go_to_the_proxy_and_nowhere_else(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no message either."""
    with run_forward_proxy(urlsplit(mirror.url).netloc, credentials="user:p@ss word") as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss%20word@{proxy.address}")
        assert HttpSource(f"http://{NAME}/trust").fetch(FILE, 100) == b"12345"
        found = proxy_of(f"http://{NAME}")
        assert "p@ss" not in repr(found)
        assert "Basic" not in repr(found)
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@{proxy.address}")
        with pytest.raises(UnavailableError, match=r"answers 407 .* through the proxy") as caught:
            HttpSource(f"http://{NAME}/trust").fetch(FILE, 100)
        assert "secret" not in caught.value.message


@pytest.mark.parametrize("exempt", ["*", NAME, ".test", f"other.example,{NAME}"])
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    """All of it, a name, or what ends with it goes without."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    assert proxy_of(f"https://{NAME}/trust") is not None
    monkeypatch.setenv("NO_PROXY", exempt)
    assert proxy_of(f"https://{NAME}/trust") is None


@pytest.mark.parametrize(
    "exempt", ["10.0.0.0/8", "fd00::/8,10.1.0.0/16", "one.test two.test 10.1.2.3", "  10.1.2.0/24 , x.test"]
)
def test_no_proxy_names_networks_and_lists_with_spaces(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    """As curl reads it: CIDR, and a list parted by commas or spaces."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert proxy_of("https://10.1.2.3/trust") is None
    assert proxy_of("https://192.0.2.1/trust") is not None
    assert proxy_of("https://mirror.example/trust") is not None


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]", "mirror.localhost"])
def test_this_machine_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Nor is any where the source is told so, or where the environment names none for the scheme."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    assert proxy_of(f"http://{host}/trust") is None
    assert proxy_of(f"https://{NAME}/trust") is None
    assert HttpSource(f"http://{NAME}/trust", use_proxy=False)._proxy is None


@pytest.mark.parametrize(
    "value",
    [
        "socks5://proxy.test:1080",
        "http://",
        "http://proxy.test:port",
        "http://[",
        "%",
        "http://x y:3",
        "http://u:geheim@[:1",
    ],
)
def test_a_proxy_of_no_use_is_told_at_once(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With what to write instead."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigurationError, match=r"NO_PROXY=mirror\.test"):
        HttpSource(f"https://{NAME}/trust")


def test_credentials_of_any_script(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7617 sends them as UTF-8."""
    with run_forward_proxy(urlsplit(mirror.url).netloc, credentials="用户:密码") as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://用户:密码@{proxy.address}")
        assert HttpSource(f"http://{NAME}/trust").fetch(FILE, 100) == b"12345"


def test_a_proxy_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is named: it is not the mirror that is out of reach."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"through the proxy 127\.0\.0\.1:9"):
        HttpSource(f"http://{NAME}/trust", timeout_seconds=1).fetch(FILE, 100)
