"""`province-node backup` and `restore`."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from healthcode.cli.adoption import name_root
from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.cli.parameter import FINGERPRINT
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import ConfigurationError
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.public_channel import trust_in
from healthcode.service.registry_source import connect_source
from healthcode.settings import split_address
from healthcode.storage.owner import as_caller
from healthcode.trust.client import TrustClient
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.view import TrustView
from province_node.cli.option import dir_option
from province_node.keys.key_files import list_key_infos
from province_node.operations.backup import write_backup
from province_node.operations.restore import RestoredNode, restore_node
from province_node.operations.warnings import key_warnings
from province_node.settings import NodeFolder, NodeSettings, load_node_settings

__all__ = ["backup", "current_trust", "refuse_running", "restore"]


@click.command(cls=Command, examples="province-node backup --dir node-31 /backup/node-31-$(date +%F).tar")
@dir_option("The node's folder.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def backup(root: Path, file: Path, as_json: bool) -> None:
    """Write a backup of the running node to FILE: database, key files, certificates, node.toml.

    The backup does not contain the keys' passphrase: store it elsewhere. Protect FILE like a key:
    tls/ contains unencrypted private keys.
    """
    now = SystemClock().now()
    names = write_backup(root, file, now=now)
    with as_caller():
        size = file.stat().st_size
    result = {"backup": str(file), "made_at": rfc3339(now), "files": len(names), "bytes": size}
    print_result(result, as_json=as_json, table=details)


@click.command(
    cls=Command,
    examples="""
    province-node restore --dir node-31 /backup/node-31-2026-12-01.tar
    # over a damaged node, whose folder is kept under another name
    province-node restore --dir node-31 --replace /backup/node-31-2026-12-01.tar
    """,
)
@dir_option("The folder to restore into.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="If DIR has a node, rename it to DIR.replaced-… first.")
@click.option(
    "--root-fingerprint",
    "fingerprint",
    type=FINGERPRINT,
    help="For a backup older than a new bootstrap of root: the new fingerprint, as the key holders announced it.",
)
@json_option
def restore(root: Path, file: Path, replace: bool, fingerprint: str | None, as_json: bool) -> None:
    """Restore a node from a backup. Stop the node first; the registry must be reachable.

    Revocations and killed keys that were published after the backup are restored too. No index is
    issued twice: the node opens the next series and issues nothing until that is published. Levels
    recorded after the backup are lost: record them again.
    """
    _refuse_running_there(root)
    now = SystemClock().now()
    signed_at: list[int] = []

    def trust(settings: NodeSettings) -> TrustView:
        refuse_running(settings)  # the node of the backup may run on this machine
        view = current_trust(settings, fingerprint)
        issuer = view.issuers.get(settings.participant)
        if issuer is not None and issuer.live_signed_at is not None:
            signed_at.append(issuer.live_signed_at)
        return view

    restored = restore_node(file, root.resolve(), trust=trust, now=now, replace=replace)
    settings = load_node_settings(root)
    if fingerprint is not None:
        name_root(NodeFolder(root).configuration, settings.registry.root_fingerprint, fingerprint)
    opens = settings.keys.passphrase_file
    with as_caller():  # it may be in a folder of root's
        has_passphrase = opens is None or opens.exists()
    result = {
        "node": str(root),
        "participant": restored.participant,
        "backup_made_at": rfc3339(restored.made_at),
        "first_series": restored.first_series,
        "revocations_taken_in": restored.revocations_taken_in,
        "killed_keys": restored.killed_keys,
        "replaced": None if restored.replaced is None else str(restored.replaced),
        "warnings": [*_key_warnings(settings, now), *_other_warnings(settings, restored, signed_at, now)],
        "next": f"write the keys' passphrase to {opens}, mode 0600; then run `province-node check` and `serve`"
        if not has_passphrase
        else "run `province-node check`, then `province-node serve`; the node issues after its first publication",
    }
    print_result(result, as_json=as_json, table=details)


def _refuse_running_there(root: Path) -> None:
    """Raises ConfigurationError if the node to be replaced is running. A damaged configuration only warns."""
    configuration = NodeFolder(root).configuration
    if not configuration.exists():
        return
    try:
        settings = load_node_settings(root)
    except ConfigurationError as error:
        click.echo(
            f"warning: {configuration} is unusable ({error.message}); the listening address is taken from the backup",
            err=True,
        )
        return
    refuse_running(settings)


def _other_warnings(
    settings: NodeSettings, restored: RestoredNode, signed_at: Sequence[int], now: int
) -> Iterator[str]:
    """Warns if the old node may still run elsewhere, or if no series of indices is left."""
    if signed_at and now - signed_at[0] < 2 * settings.publish.resign_seconds:
        yield (
            f"a head of this province was signed {max(now - signed_at[0], 0)} s ago: if the old node still runs "
            "elsewhere, stop it before you start this one. If both run, neither issues codes"
        )
    if restored.first_series >= SERIES_LIMIT:
        yield (
            "restores have used up every series of indices: this node publishes revocations, but cannot issue for "
            "about a month"
        )


def _key_warnings(settings: NodeSettings, now: int) -> list[str]:
    """Warns if the backup's keys are not the published ones, because it is older than a rotation."""
    issuer = TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
    return list(key_warnings([info for _, info in list_key_infos(settings.keys.folder)], issuer, now))


def current_trust(settings: NodeSettings, fingerprint: str | None = None) -> TrustView:
    """Refreshes the node's trust folder from the registry and returns the view.

    `fingerprint` is that of root; the default is the one in node.toml.
    """
    registry = settings.registry
    trust = trust_in(settings.trust.folder)
    with connect_source(registry.endpoint, ca_pem=load_ca(registry.ca), trust=trust) as source:
        init_trust(
            settings.trust.folder,
            source,
            fingerprint or registry.root_fingerprint,
            realm=settings.realm,
        )
        return TrustClient(settings.trust.folder, source).refresh(SystemClock().now()).view


def refuse_running(settings: NodeSettings) -> None:
    """Raises ConfigurationError if the node is running."""
    host, port = split_address(settings.issuer_listen)
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return
    raise ConfigurationError(f"a node runs at {settings.issuer_listen}: stop it first")
