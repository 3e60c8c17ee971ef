"""Area risk that travels as a file: `show`, `sign` and `collect` of what `propose areas` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from healthcode.cli.console import error_console
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.signing.purpose import KeyPurpose
from trust_registry.app import Registry
from trust_registry.area_approval import AreaApprovalStore, add_approval, take_approvals
from trust_registry.area_carried import (
    CarriedAreas,
    decode_carried_areas,
    encode_carried_areas,
    is_carried_areas,
)
from trust_registry.cli.option import open_key, show_changes
from trust_registry.durable import read_file, write_file
from trust_registry.holder import holder_names

__all__ = ["collect_areas", "describe_areas", "holds_areas", "read_areas", "sign_areas"]


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
    write_file(out or path, encode_carried_areas(signed))
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
