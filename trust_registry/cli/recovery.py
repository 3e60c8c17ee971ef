"""Mirrors: written for any static server, and what a lost registry is rebuilt from."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import click

from healthcode.cli.console import Command, details, json_option, print_json, print_result
from healthcode.clock import SystemClock
from healthcode.errors import InvalidInputError, PreconditionError
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.registry_source import open_source
from healthcode.trust.sources.trust_source import TrustSource
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.layout import RegistryFolder
from trust_registry.mirror.export import Exported, export_tree, watch_tree
from trust_registry.recovery.kept_files import KeptFiles
from trust_registry.recovery.node_folder import NodeFolderSource, is_node_folder
from trust_registry.recovery.rebuild import RebuiltRegistry, rebuild
from trust_registry.tree.lost_versions import accept_loss, check_why, lost_versions

__all__ = ["accept_loss_command", "export", "rebuild_command"]


@click.command(
    cls=Command,
    examples="""
    trust-registry export /srv/www/trust --dir registry
    # stays, and writes at each publication; Ctrl-C ends it
    trust-registry export /srv/www/trust --dir registry --watch
    """,
)
@click.argument("target", metavar="MIRROR", type=click.Path(path_type=Path, file_okay=False))
@dir_option
@click.option("--watch", is_flag=True, help="Stay, and write at each publication.")
@json_option
def export(target: Path, folder: Path, watch: bool, as_json: bool) -> None:
    """Write the trust files into MIRROR, for any static server or CDN; only what changed, the timestamp last."""
    registry = open_reading(folder)
    keep_seconds = registry.settings.repository.keep_superseded_seconds

    def tell(exported: Exported) -> None:
        data = _describe_export(exported)
        if watch and as_json:
            print_json(data)
        else:
            print_result(data, as_json=as_json, table=details)

    if not watch:
        tell(export_tree(registry.repository, target, keep_seconds=keep_seconds))
        return
    watch_tree(
        registry.repository,
        target,
        keep_seconds=keep_seconds,
        on_export=tell,
        on_error=lambda error: click.echo(f"not exported, tried again: {error.message}", err=True),
    )


@click.command(
    "rebuild",
    cls=Command,
    examples="""
    # with what was kept: registry.toml, the online keys, the certificate
    trust-registry rebuild --dir registry --from /media/mirror --from https://mirror.example/trust \\
        --root-fingerprint sha256:… --configuration backup/registry.toml \\
        --keys backup/keys --passphrase-file backup/passphrase --tls backup/tls
    # with new online keys: two proposals wait for root holders and operators
    trust-registry rebuild --dir registry --from /media/node-31/trust --root-fingerprint sha256:…
    """,
)
@dir_option
@click.option(
    "--from",
    "mirrors",
    multiple=True,
    required=True,
    help="A mirror (folder or URL), a node's trust folder, a registry's old folder `repository`, or a registry "
    "(grpcs://host:port). Of several the newest of everything is taken.",
)
@click.option(
    "--ca",
    "ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CA of a registry at grpcs://, or of an https mirror that the system does not know.",
)
@click.option("--root-fingerprint", required=True, help="sha256:…, as nodes were told it.")
@click.option(
    "--configuration", type=click.Path(path_type=Path, dir_okay=False), help="The kept registry.toml."
)
@click.option(
    "--keys", type=click.Path(path_type=Path, file_okay=False), help="Folder of the kept online keys."
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of mode 0600 that opens the kept keys.",
)
@click.option(
    "--tls",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with ca.pem, and registry.pem and registry.key, or the CA's ca.key.",
)
@click.option(
    "--holders",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The kept holders.json: the names of key holders, which no trust file has.",
)
@json_option
def rebuild_command(
    folder: Path,
    mirrors: tuple[str, ...],
    ca: Path | None,
    root_fingerprint: str,
    configuration: Path | None,
    keys: Path | None,
    passphrase_file: Path | None,
    tls: Path | None,
    holders: Path | None,
    as_json: bool,
) -> None:
    """Rebuild a registry whose machine is lost, from mirrors; it resumes above the highest version of them all."""
    kept = KeptFiles(configuration, keys, passphrase_file, tls, holders)
    with ExitStack() as stack:
        ca_pem = None if ca is None else load_ca(ca)
        sources = [_open(stack, mirror, ca_pem) for mirror in mirrors]
        result = rebuild(sources, root_fingerprint, RegistryFolder(folder), kept, SystemClock())
    print_result(_describe_rebuilt(result, folder), as_json=as_json, table=details)


def _open(stack: ExitStack, mirror: str, ca_pem: str | None) -> TrustSource:
    if "://" not in mirror and is_node_folder(Path(mirror)):
        return NodeFolderSource(Path(mirror))
    return stack.enter_context(open_source(mirror, ca_pem=ca_pem))


def _describe_export(exported: Exported) -> dict[str, Any]:
    return {
        "written": exported.written,
        "removed": exported.removed,
        "timestamp_version": exported.timestamp_version,
        "snapshot_version": exported.snapshot_version,
        "root_version": exported.root_version,
    }


def _describe_rebuilt(result: RebuiltRegistry, folder: Path) -> dict[str, Any]:
    steps = [f"trust-registry sign {proposal.id} --dir {folder} --key …" for proposal in result.proposals]
    if result.needs_tls:
        steps.append(f"put ca.pem, registry.pem and registry.key (mode 0600) into {folder / 'tls'}")
    steps += [f"trust-registry check --dir {folder}", f"trust-registry serve --dir {folder}"]
    return {
        "realm": result.realm,
        "taken_from": result.source,
        "root_version": result.root_version,
        "snapshot_version": result.snapshot_version,
        "timestamp_version": result.timestamp_version,
        "resumes_above": {"snapshot": result.high_water.snapshot, "timestamp": result.high_water.timestamp},
        "participants": result.participants,
        "lacking": dict(result.lacking),
        "missing_deltas": result.missing_deltas,
        "refused": dict(result.refused),
        "next": steps,
    }


# --- was trust_registry/cli/loss.py: `trust-registry accept-loss`: root or targets goes on without a version that is lost everywhere.


@click.command(
    "accept-loss",
    cls=Command,
    examples="""
    trust-registry accept-loss targets --dir registry --although "no mirror has it, every node was asked"
    trust-registry accept-loss root --dir registry --although "31 was called: its node is broken, nobody has another root"
    """,
)
@click.argument("role", type=click.Choice(["root", "targets"]))
@click.option("--although", metavar="WHY", required=True, help="Why it must be: all who sign are shown it.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts, after what is lost was seen.")
@dir_option
@json_option
def accept_loss_command(
    role: Literal["root", "targets"], although: str, folder: Path, *, yes: bool, as_json: bool
) -> None:
    """Let root or targets be signed again, though somebody holds a newer one than this registry.

    The last resort: what was signed since this registry's copy is taken back by the next
    signatures, for everybody: retirements, policies, admissions. First look for a source that has
    it: a mirror, any node's trust folder, another copy; and `trust-registry rebuild --from` it.
    """
    why = check_why(although)
    registry = open_reading(folder)
    lost = next((each for each in lost_versions(registry.repository.published()) if each.role == role), None)
    if lost is None:
        raise PreconditionError(f"no newer version of {role} is known: it can be signed as it is")
    if not yes:
        click.echo(f"{lost}. What was signed since is taken back when {role} is signed here.", err=True)
        if click.prompt(f"Type {role} to give it up", err=True, default="", show_default=False) != role:
            raise InvalidInputError("nothing was given up")
    lost = accept_loss(registry.repository, role, why)
    data = {
        "role": role,
        "lost_version": lost.version,
        "held_version": lost.held,
        "although": why,
        "next": f"look through what was lost, then propose it again; all who sign {role} are shown that it was given up",
    }
    print_result(data, as_json=as_json, table=details)
