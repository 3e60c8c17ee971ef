"""Files over HTTP from a server that nobody has to trust: bounded in bytes and in time, whatever it does."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from healthcode.errors import (
    ConfigurationError,
    HealthcodeError,
    NotFoundError,
    Reason,
    RefusedServerError,
    TrustError,
    UnavailableError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.trust.sources.http import HttpSource, check_mirror_url
from tests.simulator.mirror import Mirror, Reply, drip, drip_headers, endless, run_mirror
from tests.world.waiting import PATIENCE_SECONDS

FILES = {"metadata/timestamp.json": b"12345", "targets/provinces/31/a.head": b"", "lists/big": b"x" * 300_000}


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with run_mirror(FILES) as mirror:
        yield mirror


def answering(status: int, body: bytes = b"", **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def server_context(folder: Path, ca: CertifiedKey, now: int) -> ssl.SSLContext:
    """A server's side of TLS, as 127.0.0.1."""
    leaf = issue_leaf(ca, PeerId("test-mirror", PeerKind.REGISTRY), days=30, now=now)
    leaf.write(folder / "mirror.pem", folder / "mirror.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "mirror.pem", folder / "mirror.key")
    return context


def test_gives_files_and_nothing_else(mirror: Mirror) -> None:
    """Whole, empty and large ones, over one connection; what is not there is told."""
    source = mirror.source()
    for path, data in FILES.items():
        assert source.fetch(path, 300_000) == data
    with pytest.raises(NotFoundError):
        source.fetch("metadata/2.root.json", 100)
    assert source.fetch("metadata/timestamp.json", 5) == b"12345"
    source.close()


def test_a_file_over_its_bound_is_cut(mirror: Mirror) -> None:
    """Endless data cost no more than the bound, and the source serves on."""
    source = mirror.source()
    with pytest.raises(TrustError) as caught:
        source.fetch("lists/big", 299_999)
    assert caught.value.reason is Reason.TOO_LARGE
    mirror.behave = lambda _path: endless
    with pytest.raises(TrustError) as caught:
        source.fetch("lists/big", 1_000_000)
    assert caught.value.reason is Reason.TOO_LARGE
    mirror.behave = lambda _path: None
    assert source.fetch("metadata/timestamp.json", 5) == b"12345"


@pytest.mark.parametrize("slow", [drip, drip_headers])
def test_slow_retrieval_is_cut_in_time(mirror: Mirror, slow: Callable[[threading.Event], Reply]) -> None:
    """Every read comes in time, and the file does not: the whole has a limit, headers included."""
    mirror.behave = lambda _path: slow(mirror.stopped)
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        mirror.source(timeout_seconds=1).fetch("metadata/timestamp.json", 1_000)
    assert caught.value.reason is Reason.SOURCE_SLOW
    assert time.monotonic() - began < 20


def test_a_retry_does_not_outlive_its_time(mirror: Mirror) -> None:
    """A connection that is cut in its headers reads as one that was closed, and is not tried again without a limit."""
    source = mirror.source(timeout_seconds=1)
    with pytest.raises(NotFoundError):
        source.fetch("metadata/2.root.json", 100)
    mirror.asked.clear()
    mirror.behave = lambda _path: drip_headers(mirror.stopped)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(UnavailableError) as caught:
            source.fetch("metadata/timestamp.json", 5)
        assert caught.value.reason is Reason.SOURCE_SLOW
    assert time.monotonic() - began < 20


def test_a_handshake_that_hangs_is_cut() -> None:
    """A server that takes the connection and says nothing: https and http alike."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for scheme in ("https", "http"):
            source = HttpSource(f"{scheme}://127.0.0.1:{server.getsockname()[1]}", timeout_seconds=1)
            with pytest.raises(UnavailableError) as caught:
                source.fetch("metadata/timestamp.json", 5)
            assert caught.value.reason is Reason.SOURCE_SLOW


def test_a_server_that_is_gone_is_unavailable(mirror: Mirror) -> None:
    """Nobody listens; a status that is no file; an end before the end."""
    gone = HttpSource("http://127.0.0.1:9", timeout_seconds=PATIENCE_SECONDS)
    with pytest.raises(UnavailableError, match="out of reach: Connection refused"):
        gone.fetch("metadata/timestamp.json", 5)
    for reply in (answering(500), answering(206), answering(204), answering(200, b"12", Content_Length="5")):
        mirror.behave = lambda _path, reply=reply: reply  # type: ignore[misc]  # bound now
        with pytest.raises(UnavailableError):
            mirror.source().fetch("metadata/timestamp.json", 5)


def test_compressed_files_are_refused(mirror: Mirror) -> None:
    """We ask for files as they are; a decompressor would be one more thing to attack."""
    mirror.behave = lambda _path: answering(200, Content_Encoding="gzip")
    with pytest.raises(TrustError) as caught:
        mirror.source().fetch("metadata/timestamp.json", 5)
    assert caught.value.reason is Reason.MALFORMED_MESSAGE


def test_a_redirect_stays_where_it_is(mirror: Mirror) -> None:
    """Within the same scheme and host, and not for ever; never to another server, scheme or a file."""
    source = mirror.source()
    mirror.behave = lambda path: answering(302, Location="/trust/lists/big") if "stamp" in path else None
    assert len(source.fetch("metadata/timestamp.json", 300_000)) == 300_000
    for elsewhere in ("https://127.0.0.1/trust", "http://10.0.0.1/x", "file:///etc/passwd", "//other/x"):
        mirror.behave = lambda _path, to=elsewhere: answering(301, Location=to)  # type: ignore[misc]  # bound now
        with pytest.raises(UnavailableError, match="another server"):
            source.fetch("metadata/timestamp.json", 5)
    mirror.behave = lambda _path: answering(302, Location="http://[")
    with pytest.raises(UnavailableError, match="malformed address"):
        source.fetch("metadata/timestamp.json", 5)
    mirror.behave = lambda _path: answering(302, Location="/trust/round")
    with pytest.raises(UnavailableError, match="too often"):
        source.fetch("metadata/timestamp.json", 5)


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("big?version=3", "metadata/big?version=3"),
        ("../lists/big", "lists/big"),
        ("/trust/x/../lists/big?a=b", "lists/big?a=b"),
        ("?signed=1", "metadata/timestamp.json?signed=1"),
    ],
)
def test_a_redirect_keeps_query_and_dots(mirror: Mirror, location: str, asked: str) -> None:
    """As RFC 3986 joins them: object stores redirect to signed addresses of their own."""
    mirror.behave = lambda path: (
        answering(302, Location=location) if path == "metadata/timestamp.json" else None
    )
    with pytest.raises(NotFoundError) if asked != "lists/big" else nullcontext():
        mirror.source().fetch("metadata/timestamp.json", 300_000)
    assert mirror.asked == ["metadata/timestamp.json", asked]


@pytest.mark.parametrize("label", ["", "Identity", "aws-chunked", "aws-chunked,identity"])
def test_labels_of_plain_bytes_are_taken(mirror: Mirror, label: str) -> None:
    """Object stores label files that they give as they are."""
    mirror.behave = lambda _path: answering(200, b"12345", Content_Encoding=label)
    assert mirror.source().fetch("metadata/timestamp.json", 5) == b"12345"


def test_a_log_in_page_is_told(mirror: Mirror) -> None:
    """A captive portal answers everything with its page, and status 200."""
    mirror.behave = lambda _path: answering(200, b"\n<!DOCTYPE html><title>Welcome", Content_Type="text/html")
    with pytest.raises(UnavailableError, match="web page"):
        mirror.source().fetch("metadata/timestamp.json", 1000)


def test_an_edge_is_asked_for_what_is_there_now(mirror: Mirror) -> None:
    """The timestamp and the next root, which an edge may keep, or know not to exist; nothing else."""
    kept: dict[str, str | None] = {}

    def reply(path: str) -> Reply:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            kept[path] = handler.headers.get("Cache-Control")
            answering(404)(handler)

        return answer

    mirror.behave = reply
    for path in ("metadata/timestamp.json", "metadata/12.root.json", "metadata/3.snapshot.json", "lists/big"):
        with pytest.raises(NotFoundError):
            mirror.source().fetch(path, 5)
    assert [kept[path] for path in kept] == ["no-cache", "no-cache", None, None]


def test_https_is_verified(tmp_path: Path) -> None:
    """A certificate of the CA that is given, for the name that was dialled; nothing else will do."""
    now = int(time.time())
    ca, other = (make_ca(name, days=30, now=now) for name in ("mirror", "another"))
    context = server_context(tmp_path, ca, now)
    with run_mirror(FILES, tls=context) as mirror:
        trusted = ca.certificate_pem.decode()
        assert mirror.source(ca_pem=trusted).fetch("metadata/timestamp.json", 5) == b"12345"
        for strange in (None, other.certificate_pem.decode()):
            with pytest.raises(RefusedServerError, match="certificate is not one to trust"):
                mirror.source(ca_pem=strange).fetch("metadata/timestamp.json", 5)
    with pytest.raises(ConfigurationError, match="not a certificate"):
        HttpSource("https://mirror.example", ca_pem="no certificate")


def test_many_threads_share_a_source(mirror: Mirror) -> None:
    """One fetch at a time, each its own file."""
    source = mirror.source()
    wrong: list[str] = []

    def ask() -> None:
        for _ in range(2):
            for path, data in FILES.items():
                if source.fetch(path, 300_000) != data:
                    wrong.append(path)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://mirror.example",
        "https://",
        "mirror.example/trust",
        "https://h:99999/",
        "http://u:p@h/",
        "https://h/?a=b",
        "https://h/#x",
        "https://[::1",
    ],
)
def test_an_address_that_cannot_be_meant(url: str) -> None:
    """Refused when it is named, not when it is used; nothing secret is repeated."""
    with pytest.raises(HealthcodeError) as caught:
        check_mirror_url(url)
    assert "u:p" not in caught.value.message
