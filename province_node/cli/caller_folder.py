"""The folder of somebody who calls a node from another machine: whose certificate, and which node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from healthcode.cli.service_folder import ServiceFolder
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import TlsFiles

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["CallerFolder", "as_option_of"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class CallerFolder:
    """Who calls, and which node."""

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


def as_option_of(marker: str, help_text: str) -> Callable[[_Function], _Function]:
    """`--as`, passed as the Path `folder`, which has the file `marker`."""
    return click.option(
        "--as",
        "folder",
        cls=ServiceFolder,
        markers=(marker,),
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        required=True,
        help=help_text,
    )
