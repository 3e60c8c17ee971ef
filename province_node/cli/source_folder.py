"""A source's own folder: source.toml names the node, and the certificate with which the source sends evidence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from healthcode.cli.service_folder import ServiceFolder
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import CertifiedKey, TlsFiles, load_tls
from healthcode.settings import ListenAddress, Settings, TlsSettings, load_settings
from healthcode.storage.files import write_output

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["SOURCE_FILE", "SourceFolder", "as_option", "open_source", "write_source"]

SOURCE_FILE = "source.toml"
_Function = TypeVar("_Function", bound=Callable[..., Any])

_TEXT = """\
# A source of evidence. Paths are relative to this file's folder.
# the issuer listener of the province's node
node = {node}

[tls]
certificate = "source.pem"
private_key = "source.key"
ca = "ca.pem"
"""


class _SourceSettings(Settings):
    """The whole of source.toml."""

    node: ListenAddress
    tls: TlsSettings


@dataclass(frozen=True, slots=True)
class SourceFolder:
    """Who sends evidence, and to which node."""

    peer: PeerId
    node: str
    tls: TlsFiles

    @property
    def node_name(self) -> str:
        """The node's name in error messages."""
        return f"the node at {self.node}"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to ProvinceIssuerService."""
        channel = open_channel(
            self.node,
            ca_pem=self.tls.ca_pem.decode(),
            server=PeerId(self.peer.realm, PeerKind.PROVINCE, self.peer.participant),
            identity=self.tls,
        )
        try:
            yield channel
        finally:
            await channel.close()


def as_option(function: _Function) -> _Function:
    """`--as`, passed as the Path `folder`."""
    return click.option(
        "--as",
        "folder",
        cls=ServiceFolder,
        markers=(SOURCE_FILE,),
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        required=True,
        help="The source's folder: source.toml, certificate, key and CA.",
    )(function)


def open_source(folder: Path) -> SourceFolder:
    """The source of this folder. Raises ConfigurationError, which names the file and what to do."""
    settings = load_settings(
        folder / SOURCE_FILE,
        _SourceSettings,
        missing="name the source's folder with --as (docs/operating.md, Evidence)",
    )
    files = settings.tls
    tls = load_tls(files.certificate, files.private_key, files.ca, now=SystemClock().now())
    peer = tls.identity.peer
    if peer.kind is not PeerKind.SOURCE:
        raise ConfigurationError(
            f"{files.certificate} is of {peer.uri}, and evidence is sent by a source: have a certificate issued with "
            f"the URI spiffe://{peer.realm}.healthcode/source/{peer.participant or 'NN'}/NAME"
        )
    return SourceFolder(peer, settings.node, tls)


def write_source(folder: Path, leaf: CertifiedKey, *, ca_pem: bytes, node: str) -> None:
    """Makes a source's folder. Raises ConfigurationError if it has a key already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    leaf.write(folder / "source.pem", folder / "source.key")
    write_output(folder / "ca.pem", ca_pem)
    write_output(folder / SOURCE_FILE, _TEXT.format(node=json.dumps(node)).encode())
