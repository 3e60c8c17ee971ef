"""`rebuild` and `accept-loss`: a lost registry is rebuilt from mirrors and copies, or continues without a lost version."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import SystemClock
from healthcode.errors import InvalidInputError, PreconditionError
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.registry_source import open_source
from healthcode.storage.owner import as_caller
from healthcode.trust.sources.trust_source import TrustSource
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.layout import RegistryFolder
from trust_registry.recovery.kept_files import KeptFiles
from trust_registry.recovery.node_folder import NodeFolderSource, is_node_folder
from trust_registry.recovery.rebuild import RebuiltRegistry, rebuild
from trust_registry.tree.lost_versions import accept_loss, check_why, lost_versions

__all__ = ["accept_loss_command", "rebuild_command"]


@click.command(
    "rebuild",
    cls=Command,
    examples="""
    # with what you kept: registry.toml, the online keys, the certificate
    trust-registry rebuild --dir registry --from /media/mirror --from https://mirror.example/trust \\
        --root-fingerprint sha256:… --configuration backup/registry.toml \\
        --keys backup/keys --passphrase-file backup/passphrase --tls backup/tls
    # with new online keys: root holders and operators then sign two proposals
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
    "(grpcs://host:port). Of several, the newest version of each file is taken.",
)
@click.option(
    "--ca",
    "ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CA of a registry at grpcs://, or of an https mirror with a CA that the system does not know.",
)
@click.option("--root-fingerprint", required=True, help="sha256:…, as announced to the nodes.")
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
    """Rebuild a lost registry from mirrors. It continues above the highest version that any of them has."""
    kept = KeptFiles(configuration, keys, passphrase_file, tls, holders)
    with ExitStack() as stack:
        with as_caller():
            ca_pem = None if ca is None else load_ca(ca)
        sources = [_open_source(stack, mirror, ca_pem) for mirror in mirrors]
        result = rebuild(sources, root_fingerprint, RegistryFolder(folder), kept, SystemClock())
    print_result(_describe_rebuilt(result, folder), as_json=as_json, table=details)


def _open_source(stack: ExitStack, mirror: str, ca_pem: str | None) -> TrustSource:
    if "://" not in mirror and is_node_folder(Path(mirror)):
        return NodeFolderSource(Path(mirror))
    return stack.enter_context(open_source(mirror, ca_pem=ca_pem))


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


@click.command(
    "accept-loss",
    cls=Command,
    examples="""
    trust-registry accept-loss targets --dir registry --although "no mirror has it, every node was asked"
    trust-registry accept-loss root --dir registry --although "31 was called: its node is broken, no node has another root"
    """,
)
@click.argument("role", type=click.Choice(["root", "targets"]))
@click.option("--although", metavar="WHY", required=True, help="The reason; every signer sees it.")
@click.option("--yes", is_flag=True, help="Do not ask; for scripts, after a look at what is lost.")
@dir_option
@json_option
def accept_loss_command(
    role: Literal["root", "targets"], although: str, folder: Path, *, yes: bool, as_json: bool
) -> None:
    """Allow root or targets to be signed again, although somebody has a newer version than this registry.

    The last resort: the next signatures undo, for everybody, what was signed after this registry's
    version: retirements, policies, admissions. First look for a source that has the newer version (a
    mirror, a node's trust folder, another copy), and run `trust-registry rebuild --from` it.
    """
    why = check_why(although)
    registry = open_reading(folder)
    lost = next((each for each in lost_versions(registry.repository.published()) if each.role == role), None)
    if lost is None:
        raise PreconditionError(f"no newer version of {role} is known: it can be signed as it is")
    if not yes:
        click.echo(f"{lost}. Signing {role} here undoes what was signed since.", err=True)
        if (
            click.prompt(f"Type {role} to give the lost version up", err=True, default="", show_default=False)
            != role
        ):
            raise InvalidInputError("nothing was given up")
    lost = accept_loss(registry.repository, role, why)
    data = {
        "role": role,
        "lost_version": lost.version,
        "held_version": lost.held,
        "although": why,
        "next": f"check what was lost, and propose it again; every signer of {role} sees that a version was given up",
    }
    print_result(data, as_json=as_json, table=details)
