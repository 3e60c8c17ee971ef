"""A real nginx with the shipped configuration, in front of a node."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from healthcode.rpc.mtls.tls_files import CertifiedKey
from tests.simulator.debian import debian_program
from tests.simulator.tcp import wait_for_port
from tests.world.waiting import PATIENCE_SECONDS

__all__ = ["SHIPPED", "run_nginx", "write_shipped"]

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def write_shipped(
    folder: Path,
    *,
    listen: int,
    node: int,
    proxy: CertifiedKey,
    ca: CertifiedKey,
    changes: Mapping[str, str] = {},
) -> Path:
    """The shipped configuration with its marked addresses set, and files beside it. Changes are texts to replace."""
    text = (SHIPPED / "nginx.conf").read_text()
    for old, new in {
        "listen 8443 ": f"listen 127.0.0.1:{listen} ",
        "127.0.0.1:8453": f"127.0.0.1:{node}",
        **changes,
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "tls").mkdir(parents=True, exist_ok=True)
    proxy.write(folder / "tls" / "proxy.pem", folder / "tls" / "proxy.key")
    (folder / "tls" / "ca.pem").write_bytes(ca.certificate_pem)
    shutil.copy(SHIPPED / "refusals.conf", folder)
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    return configuration


@contextlib.contextmanager
def run_nginx(
    configuration: Path, *, port: int, wrap: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs nginx with `configuration` until the end of the block; its own files lie beside it."""
    folder = configuration.parent
    # where Debian's package has folders of the system
    paths = "".join(f" {name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    text = configuration.read_text()
    configuration.write_text(text.replace("http {", f"http {{{paths}", 1))
    log = folder / "nginx.log"
    own = f"daemon off; pid {folder}/nginx.pid; lock_file {folder}/nginx.lock;"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*wrap, debian_program("usr/sbin/nginx", "nginx"), "-p", folder, "-c", configuration, "-g", own],
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_for_port(port, process, log)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
