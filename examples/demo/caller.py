"""Calls over mTLS as an integrator, a back end or a stranger makes them.

Uses only the generated stubs and plain grpc, like a client written from docs/integrating.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate, its key, and the CA of the other side."""

    ca: Path
    certificate: Path
    key: Path


@contextmanager
def channel(port: int, server: str, credentials: Credentials) -> Iterator[grpc.Channel]:
    """A channel to `port` on this machine. `server` is the DNS name in the server's certificate."""
    secrets = grpc.ssl_channel_credentials(
        credentials.ca.read_bytes(), credentials.key.read_bytes(), credentials.certificate.read_bytes()
    )
    options = [("grpc.ssl_target_name_override", server), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(f"127.0.0.1:{port}", secrets, options) as opened:
        yield opened


def error_words(error: grpc.RpcError) -> str:
    """Status and reason of a refused call, e.g. `UNAUTHENTICATED CERTIFICATE_NOT_PUBLISHED`."""
    words = [error.code().name]
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # a failed call is a Call too; types do not tell
    for packed in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if packed.Unpack(info):
            words.append(info.reason)
    return " ".join(words)
