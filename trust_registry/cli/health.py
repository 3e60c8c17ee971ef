"""`health`: asks whether the registry of a folder is being served now."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, json_option
from healthcode.cli.serving import print_health
from healthcode.errors import HealthcodeError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.health_check import SERVING, ask_health
from trust_registry.cli.option import dir_option
from trust_registry.layout import RegistryFolder
from trust_registry.settings import RegistrySettings, load_registry_settings

__all__ = ["health", "is_serving"]


@click.command(cls=Command, examples="trust-registry health --dir registry")
@dir_option
@json_option
def health(folder: Path, as_json: bool) -> None:
    """Ask the running registry, at its public listener, whether it serves. Ends with 4 if it does not."""
    settings = load_registry_settings(RegistryFolder(folder).configuration)
    print_health(_ask(settings), as_json=as_json)


async def is_serving(settings: RegistrySettings) -> bool:
    """Whether the health service of the public listener answers SERVING; False on any error."""
    try:
        return await _ask(settings) == SERVING
    except HealthcodeError:
        return False


async def _ask(settings: RegistrySettings) -> str:
    return await ask_health(
        settings.server.public_listen,
        ca_pem=load_ca(settings.tls.ca),
        server=PeerId(settings.realm, PeerKind.REGISTRY),
    )
