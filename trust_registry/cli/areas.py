"""The risk of areas: operators approve it at the registry, or propose it in a file to carry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result, rows
from healthcode.cli.table import lines
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.policy.area import decode_areas
from healthcode.policy.diff.area_diff import area_lines, describe_areas, find_area_changes
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.trust.format.layout import AREAS_ROLE
from trust_registry.cli.carried_areas import describe_carried_areas
from trust_registry.cli.option import (
    dir_option,
    full_option,
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
    area_summary,
    check_areas,
    published_areas,
)
from trust_registry.proposals.areas.approve import approve_areas, keep_for_approval
from trust_registry.proposals.areas.carried_areas import carry_areas, encode_carried_areas
from trust_registry.proposals.key_holders import key_holder_names

__all__ = ["areas", "propose_areas"]


@click.group(cls=CommandGroup)
def areas() -> None:
    """Show, compare or approve the risk of areas (areas/risk.json)."""


@areas.command(
    "show",
    examples="""
    trust-registry areas show --dir registry
    # the published file, to change and propose
    trust-registry areas show --dir registry --out risk.json
    """,
)
@dir_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write areas/risk.json."
)
@json_option
def show_areas(folder: Path, out: Path | None, as_json: bool) -> None:
    """Show the published areas, the highest risk first; with --out, write the file to change."""
    registry = open_reading(folder)
    published = registry.repository.published()
    data = published_areas(published)
    if out is not None:
        with as_caller():
            save_file(out, data)
    areas_in_force, now = decode_areas(data), registry.clock.now()
    shown = {
        "as_of": rfc3339(areas_in_force.as_of or 0),
        "areas_version": published.version_of(AREAS_ROLE),
        "file": None if out is None else str(out),
        "areas": describe_areas(areas_in_force, now),
    }
    print_result(shown, as_json=as_json, table=_table)


def _table(data: Mapping[str, Any]) -> RenderableType:
    facts = {name: data[name] for name in ("as_of", "areas_version", "file") if data[name] is not None}
    columns = ("area", "province", "risk", "history")
    return Group(details(facts), rows(columns, data["areas"], empty="no area is listed"))


@areas.command("diff", examples="trust-registry areas diff risk.json --dir registry")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dir_option
@json_option
def diff_areas(file: Path, folder: Path, as_json: bool) -> None:
    """Show what FILE changes against the published areas: what rises and falls, and what changes the past.

    FILE is checked as it is before an approval: an unknown word, or a past that is not declared, is refused.
    """
    registry = open_reading(folder)
    data = _read(file)
    published = registry.repository.published()
    check_areas(data, published, registry.clock.now())
    old, new = decode_areas(published_areas(published)), decode_areas(data)
    changes = find_area_changes(old, new)
    told = area_lines(changes, new)
    shown = {
        "as_of": rfc3339(new.as_of or 0),
        "sentence": told[0],
        "areas": [each.to_dict() for each in changes],
    }
    print_result(shown, as_json=as_json, table=lambda _: lines(told))


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
@full_option
@json_option
def set_areas(
    file: Path,
    folder: Path,
    key_path: Path,
    passphrase_file: Path | None,
    yes: bool,
    full: bool,
    as_json: bool,
) -> None:
    """Approve FILE as the risk of areas, as an operator. At the operators' threshold it is published at once.

    FILE is {"format": "healthcode/areas/1", "as_of": "2026-11-21T00:00:00Z", "areas": {"310115": "HIGH"}}, or of
    format 2, with a history: "areas": {"310115": [{"risk": "HIGH", "from": "2026-11-20T18:00:00Z"}]}.
    """
    registry = open_writing(folder)
    data = _read(file)
    published = registry.repository.published()
    check_areas(data, published, registry.clock.now())
    if not as_json:
        title = f"You approve, in realm {registry.settings.realm}, the risk of areas:"
        before = published_areas(published)
        show_changes(title, area_changes(data, before), summary=area_summary(data, before), full=full)
    if not yes:
        click.confirm("Approve exactly this?", abort=True, err=True)
    key = open_key(
        key_path,
        passphrase_file,
        realm=registry.settings.realm,
        purposes=frozenset({KeyPurpose.OPERATOR}),
        folder=folder,
    )
    result = approve_areas(
        registry.repository, AreaApprovalStore(registry.folder.areas, registry.events), data, key.private
    )
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
@full_option
@json_option
def propose_areas(file: Path, out: Path, folder: Path, full: bool, as_json: bool) -> None:
    """Propose FILE as the risk of areas, for operators to approve on their own machines.

    FILE is as with `areas set`. It can be approved until areas of a later `as_of` are published.
    """
    registry = open_reading(folder)
    data = _read(file)
    approval = keep_for_approval(
        registry.repository, AreaApprovalStore(registry.folder.areas, registry.events), data
    )
    carried = carry_areas(approval, registry.repository.published(), key_holder_names(registry.folder))
    with as_caller():
        save_file(out, encode_carried_areas(carried))
    if not as_json:
        show_changes(
            "The risk of areas would change:", carried.changes(), summary=carried.summary(), full=full
        )
    print_result({**describe_carried_areas(carried), "file": str(out)}, as_json=as_json, table=details)


@as_caller()
def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
