"""`healthcode audit check`: checks a proof file of a holder's own entries offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType

from healthcode.audit.checkpoint import Checkpoint, decode_checkpoint
from healthcode.audit.display import content_json
from healthcode.audit.entry import LoggedEntry
from healthcode.audit.proof_file import MAX_PROOF_FILE_BYTES, ProofFile, check_proofs, decode_proof_file
from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result
from healthcode.cli.table import rows
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError, SignatureError
from healthcode.storage.reading import read_named
from healthcode.strict_json import load_json
from healthcode.trust.store import TrustStore

__all__ = ["audit"]


@click.group(
    cls=CommandGroup,
    examples="""
    healthcode audit check proof.json --trust trust
    """,
)
def audit() -> None:
    """Check what a province's audit log says of a holder."""


@audit.command(
    cls=Command,
    examples="""
    # against the checkpoint that the province has published, in your own trust folder
    healthcode audit check proof.json --trust trust
    # against a checkpoint that you kept: [log, size, root]
    healthcode audit check proof.json --checkpoint checkpoint.json
    """,
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--trust", type=click.Path(path_type=Path, file_okay=False), help="A trust folder.")
@click.option(
    "--checkpoint",
    "kept",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file with a checkpoint as it is published: [log, size, root].",
)
@json_option
def check(file: Path, trust: Path | None, kept: Path | None, as_json: bool) -> None:
    """Check that each entry of a proof file is in the log that its province signed.

    Without --trust or --checkpoint only the file itself is checked: `witnessed` is false then, and anyone who wrote
    the file may have made its checkpoint too. Exit status 1 if an entry is not proved.
    """
    proof = decode_proof_file(read_named(file, MAX_PROOF_FILE_BYTES))
    entries = check_proofs(proof)
    witnessed = _is_witnessed(proof, trust, kept)
    data = {
        "participant": proof.participant,
        "realm": proof.realm,
        "checkpoint": proof.checkpoint.to_json(),
        "witnessed": witnessed,
        "entries": [_describe(each) for each in entries],
    }
    print_result(data, as_json=as_json, table=_table)


def _is_witnessed(proof: ProofFile, trust: Path | None, kept: Path | None) -> bool:
    """Whether the checkpoint is one that was given. Raises SignatureError if that one is another."""
    others: list[tuple[str, Checkpoint]] = []
    if kept is not None:
        others.append((str(kept), decode_checkpoint(load_json(read_named(kept, 4096), 4096))))
    if trust is not None:
        view = TrustStore.open(trust).view
        if view.realm != proof.realm:
            raise InvalidInputError(f"the proof is of realm {proof.realm}, and {trust} of {view.realm}")
        issuer = view.issuers.get(proof.participant)
        if issuer is None or issuer.checkpoint is None:
            raise SignatureError(f"{trust} has no checkpoint of participant {proof.participant}")
        others.append((str(trust), issuer.checkpoint))
    for where, other in others:
        if other == proof.checkpoint:
            continue
        same = other.log == proof.checkpoint.log
        if same and other.size != proof.checkpoint.size:
            raise SignatureError(
                f"the proof is of the tree of {proof.checkpoint.size} entries, and {where} has the checkpoint of "
                f"{other.size}: ask the province for a new proof file, and refresh the trust folder"
            )
        raise SignatureError(
            f"{where} has another {'root of the same size' if same else 'log'} for participant {proof.participant}: "
            "the province shows you another history than it published. Keep this file, and report it"
        )
    return bool(others)


def _describe(logged: LoggedEntry) -> dict[str, Any]:
    entry = logged.entry
    return {
        "seq": logged.seq,
        "at": rfc3339(logged.at),
        "event": entry.event,
        "actor": entry.actor,
        "role": entry.role,
        "content": json.loads(content_json(entry.content)),
    }


def _table(data: Mapping[str, Any]) -> RenderableType:
    facts = {name: value for name, value in data.items() if name != "entries"}
    facts["witnessed"] = "yes" if data["witnessed"] else "NO: give --trust or --checkpoint"
    lines = [{**each, "content": json.dumps(each["content"], ensure_ascii=False)} for each in data["entries"]]
    return Group(details(facts), rows(("seq", "at", "event", "actor", "content"), lines, title="entries"))
