"""Area risk in carried files: what `show`, `sign` and `collect` do with the file of `propose areas`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from healthcode.cli.console import error_console
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import InvalidInputError
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import read_file
from trust_registry.cli.option import open_key, show_changes
from trust_registry.proposals.areas.approval import AreaApprovalStore, add_approval
from trust_registry.proposals.areas.approve import take_approvals
from trust_registry.proposals.areas.carried_areas import (
    CarriedAreas,
    decode_carried_areas,
    encode_carried_areas,
    is_carried_areas,
)
from trust_registry.proposals.key_holders import key_holder_names
from trust_registry.registry import Registry

__all__ = [
    "approve_carried_areas",
    "collect_carried_areas",
    "describe_carried_areas",
    "is_carried_areas_file",
    "read_carried_areas",
]


@as_caller()
def is_carried_areas_file(path: Path) -> bool:
    """Whether the file exists and has carried areas, not a proposal."""
    return path.is_file() and is_carried_areas(read_file(path) or b"")


@as_caller()
def read_carried_areas(path: Path) -> CarriedAreas:
    """The areas in a carried file. Raises InvalidInputError, DecodeError, SignatureError, TrustError."""
    data = read_file(path)
    if data is None:
        raise InvalidInputError(f"{path} does not exist")
    return decode_carried_areas(data)


def describe_carried_areas(carried: CarriedAreas) -> dict[str, Any]:
    """The facts of carried areas, and the names of those who have approved and who are missing."""
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


def approve_carried_areas(
    path: Path,
    out: Path | None,
    key_path: Path,
    passphrase_file: Path | None,
    *,
    yes: bool,
    quiet: bool,
    full: bool = False,
) -> CarriedAreas:
    """Shows the changes in a carried file, asks, approves them, and writes it to `out` or back to `path`."""
    carried = read_carried_areas(path)
    if not quiet:
        title = f"You approve, in realm {carried.approval.realm}, the risk of areas:"
        show_changes(title, carried.changes(), summary=carried.summary(), full=full)
        error_console().print(f"Root in force, compare it with the one you know: {carried.fingerprint}")
    if not yes:
        click.confirm("Approve exactly this?", abort=True, err=True)
    key = open_key(
        key_path,
        passphrase_file,
        realm=carried.approval.realm,
        purposes=frozenset({KeyPurpose.OPERATOR}),
        folder=None,
    )
    approval = add_approval(carried.approval, carried.risk, carried.root, key.private, SystemClock().now())
    signed = replace(carried, approval=approval)
    with as_caller():
        save_file(out or path, encode_carried_areas(signed))
    return signed


def collect_carried_areas(registry: Registry, files: Sequence[Path]) -> dict[str, Any]:
    """Adds the approvals in files of the same areas; at the operators' threshold the areas are published.

    Raises InvalidInputError if the files are of different areas.
    """
    every = [read_carried_areas(path) for path in files]
    if len({carried.approval.id for carried in every}) > 1:
        raise InvalidInputError("these files are of different areas: collect those of one at a time")
    taken: list[str] = []
    store, names = (
        AreaApprovalStore(registry.folder.areas, registry.events),
        key_holder_names(registry.folder),
    )
    for carried in every:
        result, found = take_approvals(registry.repository, store, carried.approval, names)
        taken += found
    return {
        "approval": result.approval.id,
        "title": "the risk of areas",
        "as_of": rfc3339(result.approval.as_of),
        "signatures": result.signatures,
        "threshold": result.threshold,
        "state": "PUBLISHED" if result.receipt is not None else "OPEN",
        "areas_version": None if result.receipt is None else result.receipt.version,
        "taken": taken,
    }
