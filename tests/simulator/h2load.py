"""Load from a compiled generator: h2load, whose connections HAProxy wraps in TLS with a client certificate."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from healthcode.rpc.mtls.tls_files import CertifiedKey
from tests.simulator.debian import debian_environ, debian_program
from tests.simulator.process import free_ports
from tests.simulator.tcp import wait_for_port

__all__ = ["count_failed", "run_presenter", "start_h2load"]

_H2LOAD = ("nghttp2-client", "libnghttp2-14", "libev4", "libjansson4", "libjemalloc2", "libxml2")
_HAPROXY = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
# an nginx that presents the certificate sends one call at a time over a connection, and shakes hands again after each
# refusal: a quarter of a millisecond a call, most of it in the proxy that is measured
_CONFIGURATION = """\
global
    nbthread 1
    maxconn 1024
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen load
    bind 127.0.0.1:{port}
    server front 127.0.0.1:{front} ssl crt {leaf} alpn h2 verify none
"""


@contextlib.contextmanager
def run_presenter(folder: Path, *, front: int, leaf: CertifiedKey, wrap: Sequence[str] = ()) -> Iterator[int]:
    """Runs a proxy of connections that shows `leaf` to the port `front`; its own port."""
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    both, configuration = folder / "leaf.pem", folder / "haproxy.cfg"
    both.write_bytes(leaf.certificate_pem + leaf.key_pem)
    configuration.write_text(_CONFIGURATION.format(port=port, front=front, leaf=both))
    log = folder / "haproxy.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*wrap, debian_program("usr/sbin/haproxy", *_HAPROXY), "-db", "-f", configuration],
            env=debian_environ(),
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_for_port(port, process, log)
        yield port
    finally:
        process.kill()
        process.wait()


def start_h2load(
    port: int, path: str, message: Path, *, in_flight: int, seconds: float, wrap: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Starts h2load: `in_flight` calls of `path` at once for `seconds`; `message` holds one framed gRPC message."""
    streams = min(in_flight, 100)
    return subprocess.Popen(
        [
            *(*wrap, debian_program("usr/bin/h2load", *_H2LOAD)),
            *("-c", str(in_flight // streams), "-m", str(streams), "-D", f"{seconds:g}"),
            *("-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "grpc-timeout: 10S"),
            *("-d", message, f"http://127.0.0.1:{port}{path}"),
        ],
        env=debian_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def count_failed(output: str) -> int:
    """How many calls h2load saw reset, cut off or late. Raises RuntimeError if it did not run to its end."""
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    if found is None or int(found[1]) == 0:
        raise RuntimeError(f"h2load did not run:\n{output}")
    return sum(map(int, found.groups()[1:]))
