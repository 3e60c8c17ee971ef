"""The risk of areas: operators approve it at the registry, or propose it in a file to carry."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from trust_registry.cli.carried_areas import describe_carried_areas
from trust_registry.cli.option import (
    dir_option,
    open_key,
    open_reading,
    open_writing,
    show_changes,
    signing_options,
)
from trust_registry.cli.propose import propose
from trust_registry.proposals.areas.approval import (
    AreaApprovalStore,
    area_changes,
    check_areas,
    published_areas,
)
from trust_registry.proposals.areas.approve import approve_areas, keep_for_approval
from trust_registry.proposals.areas.carried_areas import carry_areas, encode_carried_areas
from trust_registry.proposals.key_holders import key_holder_names

__all__ = ["areas", "propose_areas"]


@click.group(cls=CommandGroup)
def areas() -> None:
    """Show or approve the risk level of areas (areas/risk.json)."""


@areas.command(
    "set",
    cls=Command,
    examples="""
    # the first operator, then the second, with the same file
    trust-registry areas set risk.json --dir registry --key /media/usb/operator-1.key
    trust-registry areas set risk.json --dir registry --key /media/usb/operator-2.key
    # operators whose keys stay at home: trust-registry propose areas risk.json --out areas.json
    """,
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dir_option
@signing_options
@json_option
def set_areas(
    file: Path, folder: Path, key_path: Path, passphrase_file: Path | None, yes: bool, as_json: bool
) -> None:
    """Approve FILE as the risk of areas, as an operator. At the operators' threshold it is published at once.

    FILE is {"format": "healthcode/areas/1", "as_of": "2026-11-21T00:00:00Z", "areas": {"310115": "HIGH"}}.
    """
    registry = open_writing(folder)
    data = _read(file)
    published = registry.repository.published()
    check_areas(data, published, registry.clock.now())
    if not as_json:
        title = f"You approve, in realm {registry.settings.realm}, the risk of areas:"
        show_changes(title, area_changes(data, published_areas(published)))
    if not yes:
        click.confirm("Approve exactly this?", abort=True, err=True)
    key = open_key(
        key_path,
        passphrase_file,
        realm=registry.settings.realm,
        purposes=frozenset({KeyPurpose.OPERATOR}),
        folder=folder,
    )
    result = approve_areas(registry.repository, AreaApprovalStore(registry.folder.areas), data, key.private)
    shown = {
        "approval": result.approval.id,
        "as_of": rfc3339(result.approval.as_of),
        "signed_by": key.info.name,
        "signatures": result.signatures,
        "threshold": result.threshold,
        "published": result.receipt is not None,
        "areas_version": result.receipt.version if result.receipt else None,
    }
    print_result(shown, as_json=as_json, table=details)


@propose.command(
    "areas",
    examples="""
    # at the registry; then each operator at home, on a copy or one after another
    trust-registry propose areas risk.json --dir registry --out areas.json
    trust-registry sign areas.json --key operator-1.key
    # back at the registry
    trust-registry collect areas.json --dir registry
    """,
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where to write the file to carry.",
)
@dir_option
@json_option
def propose_areas(file: Path, out: Path, folder: Path, as_json: bool) -> None:
    """Propose FILE as the risk of areas, for operators to approve on their own machines.

    FILE is as with `areas set`. It can be approved until areas of a later `as_of` are published.
    """
    registry = open_reading(folder)
    data = _read(file)
    approval = keep_for_approval(registry.repository, AreaApprovalStore(registry.folder.areas), data)
    carried = carry_areas(approval, registry.repository.published(), key_holder_names(registry.folder))
    with as_caller():
        save_file(out, encode_carried_areas(carried))
    if not as_json:
        show_changes("The risk of areas would change:", carried.changes())
    print_result({**describe_carried_areas(carried), "file": str(out)}, as_json=as_json, table=details)


@as_caller()
def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
