"""The commands of the gateway's operators."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from gateway import app
from gateway.check import check_gateway
from gateway.folder import GatewayFolder
from gateway.settings import load_gateway_settings
from gateway.setup import make_folder, name_registry
from gateway.status import read_status
from healthcode.cli.adoption import adopt, fingerprint_option, name_root
from healthcode.cli.console import (
    EXIT_UNAVAILABLE,
    CommandGroup,
    details,
    error_console,
    exit_with,
    json_option,
    print_result,
    rows,
)
from healthcode.cli.finding import print_findings
from healthcode.cli.parameter import ADDRESS, ENDPOINT, FINGERPRINT
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.certificate import alternative_names
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.registry_source import connect_source, open_mirrors

__all__ = ["cli"]

_SHOWN_APART = frozenset({"homes", "homes_note", "trust", "why", "act", "roles", "certificates", "policies"})

_dir_option = click.option(
    "--dir",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="this folder",
    help="The gateway's folder.",
)


@click.group(
    cls=CommandGroup,
    examples="""
    # 1. the folder, and in a test realm the certificates
    healthcode-gateway init --dir gw --realm test-demo --listen 0.0.0.0:7445 --development
    # 2. the registry's operators publish gw/tls/ca.pem and the address; then
    healthcode-gateway init --dir gw --registry registry.example:7444 --registry-ca ca.pem --root-fingerprint sha256:4f…
    healthcode-gateway check --dir gw
    healthcode-gateway serve --dir gw
    """,
)
@click.version_option(package_name="healthcode")
def cli() -> None:
    """Carry signed questions to the home provinces and their signed answers back.

    Exit status: 0 done; 2 usage or configuration; 4 unavailable; 70 a fault of ours.
    """


@cli.command(
    examples="""
    healthcode-gateway init --dir gw --realm test-demo --listen 127.0.0.1:7445 --development
    healthcode-gateway init --dir gw --registry registry.example:7444 --registry-ca ca.pem --root-fingerprint sha256:4f…
    """
)
@_dir_option
@click.option("--realm", help="cn, or test-…; needed the first time.")
@click.option("--listen", type=ADDRESS, default="0.0.0.0:7445", show_default=True, help="For nodes, mTLS.")
@click.option("--metrics-listen", type=ADDRESS, help="For Prometheus, without TLS; default: nowhere.")
@click.option(
    "--dns", "dns_names", multiple=True, metavar="NAME", help="Further names or addresses in its certificate."
)
@click.option("--development", is_flag=True, help="Make a CA and certificates; test realms alone.")
@click.option("--registry", type=ENDPOINT, help="The registry's public listener.")
@click.option(
    "--registry-ca", type=click.Path(path_type=Path, dir_okay=False), help="The CA of its certificate (PEM)."
)
@click.option("--root-fingerprint", type=FINGERPRINT, help="As the national key holders announced it.")
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
    """Make the gateway's folder; and, then or later, name the registry it follows."""
    folder = GatewayFolder(root)
    if not folder.configuration.exists() or realm is not None:
        if realm is None:
            raise click.UsageError("--realm is needed for a new folder")
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
            raise click.UsageError("--registry, --registry-ca and --root-fingerprint belong together")
        name_registry(folder, endpoint=registry, ca=registry_ca, fingerprint=root_fingerprint)
    _print_made(folder, as_json=as_json)


def _print_made(folder: GatewayFolder, *, as_json: bool) -> None:
    settings = load_gateway_settings(folder.configuration)
    identity = PeerId(settings.realm, PeerKind.GATEWAY)
    next_steps = []
    if not folder.certificate.exists():
        next_steps.append(
            f"have your PKI issue a certificate with the subject alternative names {alternative_names(identity)}; "
            f"put it into {folder.certificate}, its key (mode 0600) into {folder.private_key}, its CA into {folder.ca}"
        )
    if settings.registry is None:
        next_steps += [
            f"give {folder.ca} and the address to the registry's operators, who publish them",
            f"healthcode-gateway init --dir {folder.root} --registry … --registry-ca … --root-fingerprint …",
        ]
    if folder.ca_key.exists():
        next_steps.append(f"{folder.ca_key} is the CA's key: keep it elsewhere, but for play")
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


@cli.command(examples="healthcode-gateway check --dir gw")
@_dir_option
@json_option
def check(root: Path, as_json: bool) -> None:
    """Look at everything a start needs: configuration, certificate, ports, clock, trust, registry.

    Ends with 2 when something must be set right first, with 4 when only the registry is out of
    reach; a warning stops nothing.
    """
    settings = load_gateway_settings(GatewayFolder(root).configuration)
    print_findings(asyncio.run(check_gateway(settings, SystemClock())), as_json=as_json)


@cli.command(examples="healthcode-gateway serve --dir gw")
@_dir_option
def serve(root: Path) -> None:
    """Serve until SIGTERM; then let running questions end."""
    settings = load_gateway_settings(GatewayFolder(root).configuration)

    def on_ready() -> None:
        error_console().print(
            f"the gateway of {settings.realm} listens on {settings.listen}", highlight=False
        )

    asyncio.run(app.serve(settings, on_ready=on_ready))


@cli.command(
    examples="""
    # as the key holders read it out, after a new bootstrap of root
    healthcode-gateway rebootstrap --dir gw --root-fingerprint "7f3a 9c21 …"
    """
)
@_dir_option
@fingerprint_option
@json_option
def rebootstrap(root: Path, fingerprint: str, as_json: bool) -> None:
    """Adopt the root of a new bootstrap, which the root in force did not sign; a running gateway follows at once."""
    configuration = GatewayFolder(root).configuration
    settings = load_gateway_settings(configuration)
    registry = settings.registry
    if registry is None:
        raise ConfigurationError(f"{configuration} names no registry: `healthcode-gateway init` does")
    with connect_source(registry.endpoint, ca_pem=load_ca(registry.ca)) as source:
        mirrors = open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca)
        result = adopt(settings.trust.folder, (source, *mirrors), fingerprint)
    result["configuration"] = name_root(configuration, registry.root_fingerprint, fingerprint)
    print_result(result, as_json=as_json, table=details)


@cli.command(
    examples="""
    healthcode-gateway status --dir gw
    healthcode-gateway status --dir gw --json | jq '.homes[] | select(.breaker == "open") | .home'
    """
)
@_dir_option
@json_option
def status(root: Path, as_json: bool) -> None:
    """Show whether it runs, its trust, what ends and who must act by when, and how each home stands.

    How the homes stand comes from its metrics, so [metrics] listen must be set. Ends with 4 when it does not run.
    """
    settings = load_gateway_settings(GatewayFolder(root).configuration)
    data = asyncio.run(read_status(settings, SystemClock()))
    print_result(data, as_json=as_json, table=_status_table)
    if not data["running"]:
        exit_with(EXIT_UNAVAILABLE)


def _status_table(data: Mapping[str, Any]) -> RenderableType:
    about = {name: value for name, value in data.items() if name not in _SHOWN_APART}
    about["health"] = data["health"] or data["why"]
    trust = data["trust"]
    if trust is None:
        about["trust"] = "none yet"
    else:
        about["trust"] = f"version {trust['version']}, {trust['age_seconds']} s old"
        about["issuers"] = trust["issuers"]
    parts: list[RenderableType] = [
        details(about),
        rows(
            ("role", "version", "expires", "note"), data["roles"], title="Roles, the first to expire on top"
        ),
        rows(("certificate", "expires", "note"), data["certificates"], title="Certificates"),
        rows(("policy", "effective_from", "note"), data["policies"], title="Policy"),
    ]
    if not data["homes"]:
        parts.append(Text(f"homes: {data['homes_note']}"))
    else:
        lines = [{**home, "questions": _counts(home["questions"])} for home in data["homes"]]
        parts.append(
            rows(("home", "name", "breaker", "waiting", "questions"), lines, title="Homes, since the start")
        )
    parts += [Text(each, style="yellow") for each in (trust or {}).get("warnings", ())]
    parts += [
        Text(f"by {each['by']}: {each['who']} must renew {each['what']}", style="bold yellow")
        for each in data["act"]
    ]
    return Group(*parts)


def _counts(questions: Mapping[str, int]) -> str:
    return ", ".join(f"{result} {count}" for result, count in sorted(questions.items()))
