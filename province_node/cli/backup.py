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
from healthcode.service.registry_source import connect_source
from healthcode.settings import split_address
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
    """Write a backup of the node to FILE, while it runs: database, key files, certificates, node.toml.

    What opens the keys is not in it: keep the passphrase elsewhere. Keep FILE like a key: tls/ has
    private keys in clear.
    """
    now = SystemClock().now()
    names = write_backup(root, file, now=now)
    result = {"backup": str(file), "made_at": rfc3339(now), "files": len(names), "bytes": file.stat().st_size}
    print_result(result, as_json=as_json, table=details)


@click.command(
    cls=Command,
    examples="""
    province-node restore --dir node-31 /backup/node-31-2026-12-01.tar
    # over a node that is damaged; it is kept aside
    province-node restore --dir node-31 --replace /backup/node-31-2026-12-01.tar
    """,
)
@dir_option("The folder to restore into.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="There is a node in DIR: keep it aside as DIR.replaced-….")
@click.option(
    "--root-fingerprint",
    "fingerprint",
    type=FINGERPRINT,
    help="For a backup from before a new bootstrap of root: as the key holders announced it.",
)
@json_option
def restore(root: Path, file: Path, replace: bool, fingerprint: str | None, as_json: bool) -> None:
    """Restore a node from a backup. Needs the registry; stop the node first.

    Nothing is un-revoked: what is published as revoked or killed is taken in. No index is given
    twice: the next series is opened, and nothing is issued before that is published. Levels that
    were stated after the backup are not in it: state them again.
    """
    _refuse_running_there(root)
    now = SystemClock().now()
    signed_at: list[int] = []

    def trust(settings: NodeSettings) -> TrustView:
        refuse_running(settings)  # where the backup's node listened, if that was on this machine
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
    result = {
        "node": str(root),
        "participant": restored.participant,
        "backup_made_at": rfc3339(restored.made_at),
        "first_series": restored.first_series,
        "revocations_taken_in": restored.revocations_taken_in,
        "killed_keys": restored.killed_keys,
        "replaced": None if restored.replaced is None else str(restored.replaced),
        "warnings": [*_key_warnings(settings, now), *_other_warnings(settings, restored, signed_at, now)],
        "next": f"put the passphrase of the keys at {opens}, mode 0600; then `province-node check`, `serve`"
        if opens is not None and not opens.exists()
        else "`province-node check`, then `province-node serve`; it issues once it has published",
    }
    print_result(result, as_json=as_json, table=details)


def _refuse_running_there(root: Path) -> None:
    """Raises ConfigurationError while the node that is to be replaced runs; one that is damaged is no obstacle."""
    configuration = NodeFolder(root).configuration
    if not configuration.exists():
        return
    try:
        settings = load_node_settings(root)
    except ConfigurationError as error:
        click.echo(
            f"warning: {configuration} cannot be used ({error.message}); where that node listened is taken from "
            "the backup",
            err=True,
        )
        return
    refuse_running(settings)


def _other_warnings(
    settings: NodeSettings, restored: RestoredNode, signed_at: Sequence[int], now: int
) -> Iterator[str]:
    """That the old node may still run elsewhere, and that no series of indices is left."""
    if signed_at and now - signed_at[0] < 2 * settings.publish.resign_seconds:
        yield (
            f"a head of this province was signed {max(now - signed_at[0], 0)} s ago: if the old node still runs "
            "anywhere, stop it before you start this one. Of two that run, neither issues"
        )
    if restored.first_series >= SERIES_LIMIT:
        yield (
            "every series of indices was opened by restores: this node publishes revocations, and issues nothing for "
            "about a month"
        )


def _key_warnings(settings: NodeSettings, now: int) -> list[str]:
    """Keys of a backup that are not those that the world knows: it is from before a rotation."""
    issuer = TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
    return list(key_warnings([info for _, info in list_key_infos(settings.keys.folder)], issuer, now))


def current_trust(settings: NodeSettings, fingerprint: str | None = None) -> TrustView:
    """What the registry publishes now, verified; it becomes the restored node's trust folder.

    It begins with the root of `fingerprint`, else with the one that the configuration names.
    """
    registry = settings.registry
    with connect_source(registry.endpoint, ca_pem=load_ca(registry.ca)) as source:
        init_trust(
            settings.trust.folder,
            source,
            fingerprint or registry.root_fingerprint,
            realm=settings.realm,
        )
        return TrustClient(settings.trust.folder, source).refresh(SystemClock().now()).view


def refuse_running(settings: NodeSettings) -> None:
    """Raises ConfigurationError while the node runs."""
    host, port = split_address(settings.issuer_listen)
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return
    raise ConfigurationError(
        f"a node runs at {settings.issuer_listen}: stop it before its folder is replaced"
    )
