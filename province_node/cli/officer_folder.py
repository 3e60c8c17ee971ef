"""An officer's own folder: officer.toml names the node, the certificate for TLS, and the key that signs acts."""

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
from healthcode.rpc.mtls.tls_files import TlsFiles, load_tls, write_private
from healthcode.settings import FilePath, ListenAddress, Settings, TlsSettings, load_settings
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.plain_key import read_plain_key
from healthcode.storage.files import write_output
from province_node.officers.act import Act, Verb, sign_act

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["OFFICER_FILE", "OfficerFolder", "as_option", "open_officer", "write_officer"]

OFFICER_FILE = "officer.toml"
_Function = TypeVar("_Function", bound=Callable[..., Any])

_TEXT = """\
# An officer of a province. Paths are relative to this file's folder.
# the issuer listener of the province's node
node = {node}
sign_key = "sign.key"

[tls]
certificate = "officer.pem"
private_key = "officer.key"
ca = "ca.pem"
"""


class _OfficerSettings(Settings):
    """The whole of officer.toml."""

    node: ListenAddress
    sign_key: FilePath
    tls: TlsSettings


@dataclass(frozen=True, slots=True)
class OfficerFolder:
    """Who acts, at which node, and with which key."""

    peer: PeerId
    node: str
    tls: TlsFiles
    key: PrivateKey

    @property
    def name(self) -> str:
        """The officer's name in the officers file."""
        return self.peer.name or ""

    @property
    def node_name(self) -> str:
        """The node's name in error messages."""
        return f"the node at {self.node}"

    def sign(self, verb: Verb, subject: bytes, *, officers: bytes, request_id: str, now: int) -> bytes:
        """An act of this officer. `subject` is the digest of what they saw, `officers` that of the officers file."""
        act = Act(self.peer.participant or "", self.name, verb, subject, officers, now, request_id)
        return sign_act(self.key, act, self.peer.realm)

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
        markers=(OFFICER_FILE,),
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        required=True,
        help="The officer's folder, which `province-node officer new` made.",
    )(function)


def open_officer(folder: Path) -> OfficerFolder:
    """The officer of this folder. Raises ConfigurationError, which names the file and what to do."""
    settings = load_settings(folder / OFFICER_FILE, _OfficerSettings)
    files = settings.tls
    if not files.certificate.exists():
        raise ConfigurationError(
            f"{files.certificate} is missing: have the province's CA issue it for {folder / 'officer.csr'}"
        )
    tls = load_tls(files.certificate, files.private_key, files.ca, now=SystemClock().now())
    peer = tls.identity.peer
    if peer.kind is not PeerKind.OFFICER:
        raise ConfigurationError(
            f"{files.certificate} is of {peer.uri}, and this needs an officer: have a certificate issued with the URI "
            f"spiffe://{peer.realm}.healthcode/officer/{peer.participant or 'NN'}/NAME"
        )
    return OfficerFolder(peer, settings.node, tls, read_plain_key(settings.sign_key))


def write_officer(
    folder: Path, *, node: str, key_pem: bytes, sign_key: bytes, others: dict[str, bytes]
) -> None:
    """Makes an officer's folder; `others` are the public files. Raises ConfigurationError if it has keys already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / "officer.key", key_pem)
    write_private(folder / "sign.key", sign_key)
    for name, data in others.items():
        write_output(folder / name, data)
    write_output(folder / OFFICER_FILE, _TEXT.format(node=json.dumps(node)).encode())
