"""The risk of areas: set by two operators."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.signing.purpose import KeyPurpose
from trust_registry.area_approval import AreaApprovalStore, approve_areas, area_changes, check_areas
from trust_registry.cli.option import dir_option, open_key, open_writing, show_changes, signing_options

__all__ = ["areas"]


@click.group(cls=CommandGroup)
def areas() -> None:
    """The risk of areas, areas/risk.json."""


@areas.command(
    "set",
    cls=Command,
    examples="""
    # the first operator, then the second, with the same file
    trust-registry areas set risk.json --dir registry --key /media/usb/operator-1.key
    trust-registry areas set risk.json --dir registry --key /media/usb/operator-2.key
    """,
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dir_option
@signing_options
@json_option
def set_areas(
    file: Path, folder: Path, key_path: Path, passphrase_file: Path | None, yes: bool, as_json: bool
) -> None:
    """Approve FILE as the risk of areas, as an operator; at the operators' threshold it is published at once.

    FILE is {"format": "healthcode/areas/1", "as_of": "2026-11-21T00:00:00Z", "areas": {"310115": "HIGH"}}.
    """
    registry = open_writing(folder)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
    published = registry.repository.published()
    check_areas(data, published, registry.clock.now())
    if not as_json:
        title = f"You approve, in realm {registry.settings.realm}, the risk of areas:"
        show_changes(title, area_changes(data, published))
    if not yes:
        click.confirm("Approve exactly this?", abort=True, err=True)
    key = open_key(
        key_path,
        passphrase_file,
        realm=registry.settings.realm,
        purposes=frozenset({KeyPurpose.OPERATOR}),
        folder=folder,
    )
    signing = approve_areas(registry.repository, AreaApprovalStore(registry.folder.areas), data, key.private)
    result = {
        "approval": signing.approval.id,
        "as_of": rfc3339(signing.approval.as_of),
        "signed_by": key.info.name,
        "signatures": signing.signatures,
        "threshold": signing.threshold,
        "published": signing.receipt is not None,
        "areas_version": signing.receipt.version if signing.receipt else None,
    }
    print_result(result, as_json=as_json, table=details)
