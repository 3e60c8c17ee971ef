"""`check`, `serve` and `certificate`: checks a registry before its start, serves it, renews its certificate."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.cli.finding import look_at_files, print_findings
from healthcode.clock import SystemClock, rfc3339
from healthcode.service.lifecycle import ignore_hangup
from healthcode.storage.owner import stay_owner
from trust_registry.app import serve as serve_registry
from trust_registry.cli.option import dir_option, given_passphrase, open_reading, passphrase_option
from trust_registry.founding.certificate import renew_certificate
from trust_registry.layout import RegistryFolder
from trust_registry.monitoring.check import inspect_folder
from trust_registry.monitoring.node_lag import without_targets
from trust_registry.monitoring.status import nodes_of
from trust_registry.registry import open_registry

__all__ = ["certificate", "check", "serve"]


@click.command(cls=Command, examples="trust-registry check --dir registry")
@dir_option
@passphrase_option
@json_option
def check(folder: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Check, before the start, for everything that would stop or harm the registry.

    Ends with 2 if something must be corrected first; warnings alone end with 0.
    """
    findings = inspect_folder(
        RegistryFolder(folder), SystemClock(), os.environ, passphrase=given_passphrase(passphrase_file)
    )
    print_findings([*findings, look_at_files(folder)], as_json=as_json)


@click.command(
    cls=Command,
    examples="""
    # the CA's key is taken out of the safe for this, and goes back
    trust-registry certificate --dir registry --ca-key /media/safe/registry-ca.key
    # from another CA, once it is published beside the old one and all nodes have it
    trust-registry certificate --dir registry --ca-key /media/safe/new-ca.key --new-ca /media/safe/new-ca.pem
    """,
)
@dir_option
@click.option(
    "--ca-key",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The key of the registry's CA, kept since the ceremony, or of the new one.",
)
@click.option(
    "--new-ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Another CA's certificate, which is published already: it becomes tls/ca.pem.",
)
@click.option(
    "--anyway",
    is_flag=True,
    help="With --new-ca: cut off the nodes that have not reported the published CAs, as for a stolen CA key.",
)
@json_option
def certificate(folder: Path, ca_key: Path, new_ca: Path | None, anyway: bool, as_json: bool) -> None:
    """Issue a new certificate for the registry from its CA. A running service uses it without a restart.

    With --new-ca it is refused while a node has not reported the targets in force, which publish that CA.
    """
    registry = open_reading(folder)
    now = registry.clock.now()
    published = registry.repository.published()
    lacking = (
        () if anyway else without_targets(nodes_of(registry, published), published.version_of("targets"))
    )
    made = renew_certificate(
        registry.settings.tls,
        ca_key,
        realm=registry.settings.realm,
        services=published.participants.services,
        now=now,
        new_ca=new_ca,
        lacking=lacking,
    )
    result = {
        "certificate": str(registry.settings.tls.certificate),
        "names": made.identity.peer.uri,
        "until": rfc3339(made.identity.not_after),
        "next": "nothing: the service uses it from its next connection. Carry the CA's key back to its safe",
    }
    print_result(result, as_json=as_json, table=details)


@click.command(cls=Command, examples="trust-registry serve --dir registry")
@dir_option
def serve(folder: Path) -> None:
    """Serve the trust files until SIGTERM, and sign a new timestamp each minute."""
    ignore_hangup()
    stay_owner()
    registry = open_registry(RegistryFolder(folder), SystemClock(), os.environ)

    def ready(_: Mapping[str, int]) -> None:
        server, metrics = registry.settings.server, registry.settings.metrics.listen
        at = f"provinces at {server.listen}, everybody at {server.public_listen}"
        at += f", metrics at {metrics}" if metrics else ""
        click.echo(f"the trust registry of {registry.settings.realm} is serving: {at}", err=True)

    asyncio.run(serve_registry(registry, on_ready=ready))
