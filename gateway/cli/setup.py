"""`healthcode-gateway init` makes a folder; `rebootstrap` adopts the root of a new bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from gateway.cli.option import dir_option
from gateway.layout import GatewayFolder
from gateway.operations.setup import make_folder, name_registry
from gateway.settings import METRICS_LISTEN, load_gateway_settings
from healthcode.cli.adoption import adopt, fingerprint_option, name_root
from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.cli.parameter import ADDRESS, ENDPOINT, FINGERPRINT, metrics_option
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.certificate import alternative_names
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.public_channel import trust_in
from healthcode.service.registry_source import connect_source, open_mirrors

__all__ = ["init", "rebootstrap"]


@click.command(
    cls=Command,
    examples="""
    healthcode-gateway init --dir gw --realm test-demo --listen 127.0.0.1:7445 --development
    healthcode-gateway init --dir gw --registry registry.example:7444 --registry-ca ca.pem --root-fingerprint sha256:4f…
    """,
)
@dir_option
@click.option("--realm", help="cn, or test-… for a test realm; required for a new folder.")
@click.option(
    "--listen",
    type=ADDRESS,
    default="0.0.0.0:7445",
    show_default=True,
    help="Address to listen on for nodes, with mTLS.",
)
@metrics_option(METRICS_LISTEN)
@click.option(
    "--dns",
    "dns_names",
    multiple=True,
    metavar="NAME",
    help="Another name or address in its certificate; repeatable.",
)
@click.option("--development", is_flag=True, help="For a test realm: make a CA and certificates.")
@click.option("--registry", type=ENDPOINT, help="The registry's public listener.")
@click.option(
    "--registry-ca", type=click.Path(path_type=Path, dir_okay=False), help="The CA of its certificate (PEM)."
)
@click.option(
    "--root-fingerprint",
    type=FINGERPRINT,
    help="The root's fingerprint, as the national key holders announced it.",
)
@json_option
def init(
    root: Path,
    realm: str | None,
    listen: str,
    metrics_listen: str | None,
    dns_names: tuple[str, ...],
    development: bool,
    registry: str | None,
    registry_ca: Path | None,
    root_fingerprint: str | None,
    as_json: bool,
) -> None:
    """Make the gateway's folder. Name the registry in the same command, or in a second one."""
    folder = GatewayFolder(root)
    if not folder.configuration.exists() or realm is not None:
        if realm is None:
            raise click.UsageError("a new folder needs --realm")
        make_folder(
            folder,
            realm=realm,
            listen=listen,
            metrics_listen=metrics_listen,
            dns_names=dns_names,
            development=development,
            now=SystemClock().now(),
        )
    if registry is not None or registry_ca is not None or root_fingerprint is not None:
        if registry is None or registry_ca is None or root_fingerprint is None:
            raise click.UsageError("give --registry, --registry-ca and --root-fingerprint together")
        name_registry(folder, endpoint=registry, ca=registry_ca, fingerprint=root_fingerprint)
    _print_made(folder, as_json=as_json)


def _print_made(folder: GatewayFolder, *, as_json: bool) -> None:
    settings = load_gateway_settings(folder.configuration)
    identity = PeerId(settings.realm, PeerKind.GATEWAY)
    next_steps = []
    if not folder.certificate.exists():
        next_steps.append(
            f"have your PKI issue a certificate with the subject alternative names {alternative_names(identity)}; "
            f"store it as {folder.certificate}, its key (mode 0600) as {folder.private_key}, its CA as {folder.ca}"
        )
    if settings.registry is None:
        next_steps += [
            f"send {folder.ca} and the address to the registry's operators, who publish them",
            f"healthcode-gateway init --dir {folder.root} --registry … --registry-ca … --root-fingerprint …",
        ]
    if folder.ca_key.exists():
        next_steps.append(f"{folder.ca_key} is the CA's key: outside a rehearsal, move it to another machine")
    data = {
        "configuration": str(folder.configuration),
        "realm": settings.realm,
        "identity": identity.uri,
        "listen": settings.listen,
        "ca": str(folder.ca),
        "registry": None if settings.registry is None else settings.registry.endpoint,
        "next": next_steps or [f"healthcode-gateway check --dir {folder.root}"],
    }
    print_result(data, as_json=as_json, table=_made_table)


def _made_table(data: Mapping[str, Any]) -> RenderableType:
    steps = [Text(f"next: {step}") for step in data["next"]]
    return Group(details({name: value for name, value in data.items() if name != "next"}), *steps)


@click.command(
    cls=Command,
    examples="""
    # after a new bootstrap of root, as the key holders read it out
    healthcode-gateway rebootstrap --dir gw --root-fingerprint "7f3a 9c21 …"
    """,
)
@dir_option
@fingerprint_option
@json_option
def rebootstrap(root: Path, fingerprint: str, as_json: bool) -> None:
    """Adopt the root of a new bootstrap, which the root in force did not sign; a running gateway follows at once."""
    configuration = GatewayFolder(root).configuration
    settings = load_gateway_settings(configuration)
    registry = settings.registry
    if registry is None:
        raise ConfigurationError(f"{configuration} names no registry: `healthcode-gateway init` does")
    trust = trust_in(settings.trust.folder)
    with connect_source(registry.endpoint, ca_pem=load_ca(registry.ca), trust=trust) as source:
        mirrors = open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca)
        result = adopt(settings.trust.folder, (source, *mirrors), fingerprint)
    result["configuration"] = name_root(configuration, registry.root_fingerprint, fingerprint)
    print_result(result, as_json=as_json, table=details)
