"""The risk of areas: set by two operators, at the registry's machine or over a file that is carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from healthcode.cli.console import Command, CommandGroup, details, error_console, json_option, print_result
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from trust_registry.cli.option import (
    dir_option,
    open_key,
    open_reading,
    open_writing,
    show_changes,
    signing_options,
)
from trust_registry.cli.propose import propose
from trust_registry.proposals.areas import (
    AreaApprovalStore,
    CarriedAreas,
    add_approval,
    approve_areas,
    area_changes,
    carry_areas,
    check_areas,
    decode_carried_areas,
    encode_carried_areas,
    is_carried_areas,
    open_approval,
    published_areas,
    take_approvals,
)
from trust_registry.proposals.key_holders import holder_names
from trust_registry.registry import Registry

__all__ = ["areas", "collect_areas", "describe_areas", "holds_areas", "read_areas", "sign_areas"]


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
    """Approve FILE as the risk of areas, as an operator; at the operators' threshold it is published at once.

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


@propose.command(
    "areas",
    examples="""
    # at the registry; then each operator at home, with a copy or one after another
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
    help="Write it there, to be carried.",
)
@dir_option
@json_option
def propose_areas(file: Path, out: Path, folder: Path, as_json: bool) -> None:
    """Propose FILE as the risk of areas, for operators to approve on machines of their own.

    FILE is as with `areas set`. It is good until areas of a later `as_of` are published.
    """
    registry = open_reading(folder)
    data = _read(file)
    approval = open_approval(registry.repository, AreaApprovalStore(registry.folder.areas), data)
    carried = carry_areas(approval, registry.repository.published(), holder_names(registry.folder))
    save_file(out, encode_carried_areas(carried))
    if not as_json:
        show_changes("The risk of areas would change:", carried.changes())
    print_result({**describe_areas(carried), "file": str(out)}, as_json=as_json, table=details)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error


# --- was trust_registry/cli/carried_areas.py: Area risk that travels as a file: `show`, `sign` and `collect` of what `propose areas` wrote.


def holds_areas(path: Path) -> bool:
    """Whether a file that was carried holds areas, and not a proposal."""
    return path.is_file() and is_carried_areas(read_file(path) or b"")


def read_areas(path: Path) -> CarriedAreas:
    """The areas in a file that was carried. Raises InvalidInputError, DecodeError, SignatureError, TrustError."""
    data = read_file(path)
    if data is None:
        raise InvalidInputError(f"{path} is not there")
    return decode_carried_areas(data)


def describe_areas(carried: CarriedAreas) -> dict[str, Any]:
    """What is shown of them: who has approved, and who may still, by name."""
    approval = carried.approval
    signed = approval.approvers(carried.root)
    missing = sorted(set(carried.root.roles["targets"].keyids) - signed)

    def name(keyid: str) -> str:
        return f"{carried.names.get(keyid, 'unnamed')} ({keyid[:12]})"

    return {
        "approval": approval.id,
        "title": "the risk of areas",
        "realm": approval.realm,
        "as_of": rfc3339(approval.as_of),
        "signatures": len(signed),
        "threshold": carried.threshold,
        "signed": [name(keyid) for keyid in sorted(signed)],
        "missing": [name(keyid) for keyid in missing] if len(signed) < carried.threshold else [],
        "root_in_force": f"{carried.root.version}.root.json, {carried.fingerprint}",
    }


def sign_areas(
    path: Path, out: Path | None, key_path: Path, passphrase_file: Path | None, *, yes: bool, quiet: bool
) -> CarriedAreas:
    """Shows what would change, asks, approves, and writes the file."""
    carried = read_areas(path)
    if not quiet:
        title = f"You approve, in realm {carried.approval.realm}, the risk of areas:"
        show_changes(title, carried.changes())
        error_console().print(f"Root in force, compare it with what you know: {carried.fingerprint}")
    if not yes:
        click.confirm("Approve exactly this?", abort=True, err=True)
    key = open_key(
        key_path,
        passphrase_file,
        realm=carried.approval.realm,
        purposes=frozenset({KeyPurpose.OPERATOR}),
        folder=None,
    )
    signed = replace(carried, approval=add_approval(carried.approval, carried.root, key.private))
    save_file(out or path, encode_carried_areas(signed))
    return signed


def collect_areas(registry: Registry, files: Sequence[Path]) -> dict[str, Any]:
    """Takes over the approvals in files of the same areas; published at the operators' threshold.

    Raises InvalidInputError when the files are of different areas.
    """
    every = [read_areas(path) for path in files]
    if len({carried.approval.id for carried in every}) > 1:
        raise InvalidInputError("these files are of different areas: collect those of one at a time")
    taken: list[str] = []
    store, names = AreaApprovalStore(registry.folder.areas), holder_names(registry.folder)
    for carried in every:
        signing, found = take_approvals(registry.repository, store, carried.approval, names)
        taken += found
    return {
        "approval": signing.approval.id,
        "title": "the risk of areas",
        "as_of": rfc3339(signing.approval.as_of),
        "signatures": signing.signatures,
        "threshold": signing.threshold,
        "state": "PUBLISHED" if signing.receipt is not None else "OPEN",
        "areas_version": None if signing.receipt is None else signing.receipt.version,
        "taken": taken,
    }
