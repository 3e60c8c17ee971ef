"""Looking before the start, serving, and looking while it serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import (
    EXIT_UNAVAILABLE,
    Command,
    details,
    exit_with,
    json_option,
    print_result,
    rows,
)
from healthcode.cli.finding import print_findings
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import HealthcodeError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.settings import split_address
from trust_registry.app import serve as serve_registry
from trust_registry.cli.ceremony import tell_founding
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.founding.certificate import renew_certificate
from trust_registry.layout import RegistryFolder
from trust_registry.monitoring.check import inspect_folder
from trust_registry.monitoring.status import status_of
from trust_registry.registry import open_registry
from trust_registry.settings import RegistrySettings

__all__ = ["certificate", "check", "is_serving", "serve", "status"]


@click.command(cls=Command, examples="trust-registry check --dir registry")
@dir_option
@json_option
def check(folder: Path, as_json: bool) -> None:
    """Look, before the start, for all that would stop or harm the registry.

    Ends with 2 when something must be set right first; a warning stops nothing.
    """
    print_findings(inspect_folder(RegistryFolder(folder), SystemClock(), os.environ), as_json=as_json)


@click.command(
    cls=Command,
    examples="""
    # the CA's key comes out of the safe for this, and goes back
    trust-registry certificate --dir registry --ca-key /media/safe/registry-ca.key
    """,
)
@dir_option
@click.option(
    "--ca-key",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The key of the registry's CA, kept since the ceremony.",
)
@json_option
def certificate(folder: Path, ca_key: Path, as_json: bool) -> None:
    """Issue the registry's certificate anew, from its CA. A service that runs takes it by itself."""
    registry = open_reading(folder)
    now = registry.clock.now()
    made = renew_certificate(
        registry.settings.tls,
        ca_key,
        realm=registry.settings.realm,
        services=registry.repository.published().participants.services,
        now=now,
    )
    result = {
        "certificate": str(registry.settings.tls.certificate),
        "names": made.identity.peer.uri,
        "until": rfc3339(made.identity.not_after),
        "next": "nothing: the service takes it at its next connection. Carry the CA's key back",
    }
    print_result(result, as_json=as_json, table=details)


@click.command(cls=Command, examples="trust-registry serve --dir registry")
@dir_option
def serve(folder: Path) -> None:
    """Serve the trust files until SIGTERM, and sign the timestamp anew each minute."""
    registry = open_registry(RegistryFolder(folder), SystemClock(), os.environ)

    def ready(_: Mapping[str, int]) -> None:
        server, metrics = registry.settings.server, registry.settings.metrics.listen
        at = f"provinces at {server.listen}, everybody at {server.public_listen}"
        at += f", metrics at {metrics}" if metrics else ""
        click.echo(f"the trust registry of {registry.settings.realm} is serving: {at}", err=True)

    asyncio.run(serve_registry(registry, on_ready=ready))


@click.command(
    cls=Command,
    examples="""
    trust-registry status --dir registry
    trust-registry status --dir registry --json
    """,
)
@dir_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show whether it serves, what is published, until when it holds, and who must act.

    Ends with 4 when it does not serve; as long as a realm is being founded, shows who has not signed.
    """
    if tell_founding(folder, as_json=as_json):
        exit_with(EXIT_UNAVAILABLE)
    registry = open_reading(folder)
    serving = asyncio.run(is_serving(registry.settings))
    print_result({"serving": serving, **status_of(registry)}, as_json=as_json, table=_tell)
    if not serving:
        click.echo(f"warning: nobody serves {folder}; start it with `trust-registry serve`", err=True)
        exit_with(EXIT_UNAVAILABLE)


def _tell(data: Mapping[str, Any]) -> Group:
    top = {
        name: data[name]
        for name in ("serving", "realm", "root_fingerprint", "timestamp_signed_at", "timestamp_age_seconds")
    }
    parts: list[RenderableType] = [
        details(top),
        rows(
            ("role", "version", "expires", "note"), data["roles"], title="Roles, the first to expire on top"
        ),
        rows(("key", "version", "expires", "note"), data["keys"], title="Keys of participants"),
        rows(("certificate", "expires", "note"), data["certificates"], title="Certificates"),
        rows(("policy", "effective_from", "note"), data["policy"], title="Policy"),
        rows(
            ("role", "threshold", "holders"), _joined(data["signers"]), title="Who signs the national roles"
        ),
        rows(
            ("participant", "title", "authority", "authority_link", "province_version", "live_version"),
            data["participants"],
            title="Participants",
        ),
        details({name: entry["endpoint"] for name, entry in data["services"].items()}),
    ]
    leaving = [
        {"participant": each["participant"], **each["retirement"]}
        for each in data["participants"]
        if each["retirement"]
    ]
    if leaving:
        columns = ("participant", "signs_until", "codes_until", "days_left", "note")
        parts.append(rows(columns, leaving, title="Participants that leave"))
    parts += [Text(each["what"], style="bold red") for each in data["authorities_waiting"]]
    parts += [Text(why, style="bold yellow") for why in data["delegations_to_take_back"]]
    for state, style in (("LAGGING", "yellow"), ("UNKNOWN", "yellow")):
        if data["nodes"][state]:
            parts.append(Text(f"nodes {state}: {', '.join(data['nodes'][state])}", style=style))
    parts += [
        Text(f"by {each['by']}: {each['who']} must renew {each['what']}", style="bold yellow")
        for each in data["act"]
    ]
    parts += [Text(why, style="bold yellow") for why in data["certificates_left_out"]]
    parts += [Text(f"waits to be admitted: {title}", style="yellow") for title in data["joins_waiting"]]
    parts += [
        Text(
            f"lost here: {each['role']} version {each['version']}, which nodes hold; {each['what']}",
            style="bold red",
        )
        for each in data["lacking"]
    ]
    parts += [Text(f"waits for signatures: {title}", style="yellow") for title in data["proposals_open"]]
    return Group(*parts)


def _joined(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**line, "holders": ", ".join(line["holders"])} for line in lines]


# --- was trust_registry/cli/health.py: Whether the registry of a folder is being served now.


_TIMEOUT_SECONDS = 2.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  to be called from here, not to listen on


async def is_serving(settings: RegistrySettings) -> bool:
    """Asks the health service of the listener for everybody; False for whatever goes wrong."""
    host, port = split_address(settings.server.public_listen)
    near = f"{_ANYWHERE.get(host, f'[{host}]' if ':' in host else host)}:{port}"
    try:
        channel = open_channel(
            near,
            ca_pem=load_ca(settings.tls.ca),
            server=PeerId(settings.realm, PeerKind.REGISTRY),
            retries=False,
        )
        try:
            with rpc_errors(f"the registry at {near}"):
                stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs give it no methods
                response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        finally:
            await channel.close()
    except HealthcodeError:
        return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
