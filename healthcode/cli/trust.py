"""`healthcode trust`: makes a trust folder, keeps it current, shows its contents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from healthcode.cli.adoption import adopt, fingerprint_option
from healthcode.cli.console import CommandGroup, details, json_option, print_result
from healthcode.cli.expiry import DeadlineReporter
from healthcode.cli.folder import open_trust, trust_option
from healthcode.cli.remembered_sources import (
    SourceName,
    name_sources,
    open_sources,
    read_sources,
    write_sources,
)
from healthcode.cli.summary import describe_trust, print_refresh, trust_table
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.metrics_server import start_metrics_server
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.background import BackgroundTask, Supervisor
from healthcode.service.public_channel import trust_in
from healthcode.service.trust_follower import TrustFollower
from healthcode.settings import split_address
from healthcode.storage.owner import as_caller, stay_owner
from healthcode.telemetry import Metrics, configure_logging
from healthcode.trust.client import TrustClient
from healthcode.trust.store import init_trust

__all__ = ["trust"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_CA_HELP = "CAs of the sources' certificates (PEM): required for grpcs; for https they replace the system's."


@click.group(
    cls=CommandGroup,
    examples="""
    healthcode trust init --source grpcs://registry.example:7444 --ca registry-ca.pem --root-fingerprint sha256:4f…
    healthcode trust sync
    healthcode trust show
    """,
)
def trust() -> None:
    """Manage the signed files by which codes are verified."""


@trust.command(
    examples="""
    healthcode trust init --source grpcs://registry.example:7444 --ca registry-ca.pem --root-fingerprint sha256:4f…
    # the registry first, then mirrors: the newest valid files win
    healthcode trust init --source grpcs://registry.example:7444 --source https://mirror.example/trust \\
        --ca cas.pem --root-fingerprint sha256:4f…
    # from a copy on a medium
    healthcode trust init --source /media/trust --root-fingerprint sha256:4f… --dir ./trust
    """
)
@click.option(
    "--source",
    "urls",
    required=True,
    multiple=True,
    metavar="URL|DIR",
    help="grpcs://host:port, https://host/folder, or a folder; repeatable, the preferred one first.",
)
@click.option("--ca", type=_FILE, help=_CA_HELP)
@click.option(
    "--root-fingerprint",
    "fingerprint",
    required=True,
    metavar="sha256:HEX",
    help="As the national key holders announced it: do not get it from the source.",
)
@click.option("--realm", help="Refuse a root of another realm than this.")
@trust_option("--dir", writes=True)
@json_option
def init(
    urls: tuple[str, ...], ca: Path | None, fingerprint: str, realm: str | None, folder: Path, as_json: bool
) -> None:
    """Make a trust folder from the root with this fingerprint, and fill it."""
    sources = _named_sources(urls, ca)
    with open_sources(sources) as files:
        init_trust(folder, files, fingerprint, realm=realm)
        write_sources(folder, sources)
        result = TrustClient(folder, files).refresh(SystemClock().now())
    print_refresh(folder, result, as_json=as_json)


@trust.command(
    examples="""
    healthcode trust sync
    # in a crontab, for a verifier that is sometimes online
    */10 * * * * healthcode trust sync --dir /var/lib/healthcode/trust --json
    """
)
@click.option(
    "--source", "urls", multiple=True, metavar="URL|DIR", help="Sources to use instead of the folder's own."
)
@click.option("--ca", type=_FILE, help=_CA_HELP)
@trust_option("--dir", writes=True)
@json_option
def sync(urls: tuple[str, ...], ca: Path | None, folder: Path, as_json: bool) -> None:
    """Fetch new files from the sources. Invalid files are refused; the last valid ones stay in use."""
    sources = _sources(folder, urls, ca)
    with open_sources(sources, lambda: client.view) as files:
        client = TrustClient(folder, files)
        result = client.refresh(SystemClock().now())
    print_refresh(folder, result, as_json=as_json)


@trust.command(
    examples="""
    # the fingerprint as the key holders read it out; the files come from the folder's own sources
    healthcode trust rebootstrap --trust /var/lib/healthcode/trust --root-fingerprint "7f3a 9c21 …"
    healthcode trust rebootstrap --source grpcs://registry.example:7444 --ca registry-ca.pem --root-fingerprint sha256:…
    """
)
@click.option(
    "--source", "urls", multiple=True, metavar="URL|DIR", help="Sources to use instead of the folder's own."
)
@click.option("--ca", type=_FILE, help=_CA_HELP)
@fingerprint_option
@trust_option("--trust", writes=True)
@json_option
def rebootstrap(
    urls: tuple[str, ...], ca: Path | None, fingerprint: str, folder: Path, as_json: bool
) -> None:
    """Adopt the root of a new bootstrap, which the root in force did not sign.

    Run it once, if a refresh ends with ROOT_REPLACED and the key holders have announced a new
    bootstrap. Everything else is still verified: no version goes back, and revoked codes stay
    revoked. If the new root is refused, the folder does not change.
    """
    with open_sources(_sources(folder, urls, ca), trust_in(folder)) as files:
        result = adopt(folder, files, fingerprint)
    print_result(result, as_json=as_json, table=details)


@trust.command(
    examples="""
    # a verifier at the edge: poll the mirrors about once a minute
    healthcode trust follow --dir /var/lib/healthcode/trust
    healthcode trust follow --poll-seconds 300 --metrics-listen 127.0.0.1:9464
    """
)
@click.option(
    "--poll-seconds",
    type=click.FloatRange(1, 86_400),
    default=60,
    show_default=True,
    help="How often to poll, on average: jitter spreads the clients.",
)
@click.option("--metrics-listen", metavar="HOST:PORT", help="Address where Prometheus reads /metrics.")
@trust_option("--dir", writes=True)
def follow(poll_seconds: float, metrics_listen: str | None, folder: Path) -> None:
    """Keep the folder current until stopped. Problems are logged as lines of JSON."""
    if metrics_listen is not None:
        _check_listen(metrics_listen)
    stay_owner()
    configure_logging("healthcode-trust")
    metrics = Metrics("healthcode-trust")
    sources = open_sources(_sources(folder, (), None), lambda: client.view)
    with sources as files, start_metrics_server(metrics, metrics_listen):
        client, clock = TrustClient(folder, files), SystemClock()
        follower = TrustFollower(
            folder,
            client,
            None,
            clock=clock,
            metrics=metrics,
            poll_seconds=poll_seconds,
        )
        follower.open()
        with suppress(KeyboardInterrupt):
            reporter = DeadlineReporter(metrics)
            deadlines = BackgroundTask("deadlines", partial(reporter.run, client, clock))
            try:
                asyncio.run(_follow([*follower.tasks(), deadlines], metrics))
            finally:
                follower.close()


@trust.command(
    examples="""
    healthcode trust show
    healthcode trust show --json | jq '.issuers[] | {code, tier}'
    """
)
@trust_option("--dir")
@json_option
def show(folder: Path, as_json: bool) -> None:
    """Show realm, versions and ages, and the tier, keys and revocations of each issuer."""
    store = open_trust(folder)
    data = describe_trust(store, SystemClock().now())
    print_result(data, as_json=as_json, table=trust_table)


async def _follow(tasks: Sequence[BackgroundTask], metrics: Metrics) -> None:
    supervisor = Supervisor(metrics)
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(supervisor.keep(task))


def _sources(folder: Path, urls: tuple[str, ...], ca: Path | None) -> tuple[SourceName, ...]:
    """The sources that were named, else those stored in the folder."""
    if not folder.is_dir():
        raise ConfigurationError(f"there is no trust folder {folder}: make one with `healthcode trust init`")
    return _named_sources(urls, ca) if urls else read_sources(folder)


@as_caller()
def _named_sources(urls: tuple[str, ...], ca: Path | None) -> tuple[SourceName, ...]:
    return name_sources(urls, None if ca is None else load_ca(ca))


def _check_listen(address: str) -> None:
    try:
        split_address(address)
    except ValueError as error:
        raise click.UsageError(f"--metrics-listen: {error}") from error
