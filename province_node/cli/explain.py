"""`province-node explain`: why a holder has a level, now or at a past time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType

from healthcode.cli.console import Command, json_option, print_result
from healthcode.cli.table import details, rows
from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.errors import InvalidInputError
from healthcode.identity.document import DocumentType
from healthcode.rpc.convert import enum_word, epoch
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.connection import back_end, name_of
from province_node.cli.option import dir_option
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["ask_document", "explain", "facts_of"]

_TIMEOUT_SECONDS = 30.0


@click.command(
    cls=Command,
    examples="""
    # the document is asked for
    province-node explain --dir node-31
    printf '10\\n11010519491231002X\\n' | province-node explain --dir node-31 --json
    # as it was at a past time
    province-node explain --dir node-31 --at 2027-01-05T08:00:00Z
    # for the holder, who checks it with `healthcode audit check`
    province-node explain --dir node-31 --proof proof.json
    """,
)
@dir_option("The node's folder.")
@click.option("--at", metavar="RFC3339", help="A past time. Default: now.")
@click.option(
    "--proof",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the holder's entries of the audit log, with proofs, to this file.",
)
@json_option
def explain(root: Path, at: str | None, proof: Path | None, as_json: bool) -> None:
    """Explain a holder's level: ground, rule, source, until when, and what clears it.

    The document's number comes from a prompt or standard input (type, then number), never from arguments.
    """
    settings = load_node_settings(root)
    request = pb.ExplainLevelRequest(document=ask_document(), with_proof=proof is not None)
    if at is not None:
        try:
            request.at.seconds = parse_rfc3339(at)
        except ValueError:
            raise click.UsageError("--at: write a time like 2027-01-05T08:00:00Z") from None
    found = asyncio.run(_ask(root, settings, request))
    if proof is not None:
        with as_caller():
            write_output(proof, found.audit_proof)
    data = facts_of(found) | {"grounds": [_ground(each) for each in found.grounds]}
    print_result(data, as_json=as_json, table=_tell)


def _tell(data: Mapping[str, Any]) -> RenderableType:
    facts = details({name: value for name, value in data.items() if name != "grounds"})
    columns = ("rule", "level", "source", "starts", "ends", "active")
    return Group(facts, rows(columns, data["grounds"], title="grounds")) if data["grounds"] else facts


def ask_document() -> pb.IdentityDocument:
    """A document from a prompt or standard input (type, then number)."""
    if sys.stdin.isatty():
        kinds = ", ".join(f"{kind.value} {kind.name}" for kind in DocumentType)
        return pb.IdentityDocument(
            document_type=click.prompt(f"document type ({kinds})", default="10", err=True),
            number=click.prompt("document number", hide_input=True, err=True),
        )
    kind, number = (sys.stdin.readline(1024).strip() for _ in range(2))
    if not number:
        raise InvalidInputError(
            "standard input must have two lines: the document's type, such as 10, then its number"
        )
    return pb.IdentityDocument(document_type=kind, number=number)


async def _ask(
    root: Path, settings: NodeSettings, request: pb.ExplainLevelRequest
) -> pb.ExplainLevelResponse:
    async with back_end(root, settings) as channel:
        with rpc_errors(name_of(settings.issuer_listen)):
            response: pb.ExplainLevelResponse = await ProvinceIssuerServiceStub(channel).ExplainLevel(
                request, timeout=_TIMEOUT_SECONDS
            )
    return response


def facts_of(found: pb.ExplainLevelResponse) -> dict[str, object]:
    """The fields that are set, in the order in which a person asks."""
    ground = found.ground if found.HasField("ground") else None
    facts: dict[str, object] = {
        "level": enum_word(verdict_pb2.Level, found.level) or "not stated",
        "sequence": found.sequence,
        "policy_version": found.policy_version,
    }
    if ground is not None:
        facts |= _ground(ground)
        facts.pop("active")
    facts |= {
        "next_change": _time(found, "next_change"),
        "decided_at": _time(found, "decided_at"),
        "areas_as_of": _time(found, "areas_as_of"),
        "stated_by": found.stated_by,
        "appeal": found.appeal,
        "appeal_zh": found.appeal_zh,
    }
    return {name: value for name, value in facts.items() if value not in {"", None}}


def _ground(ground: pb.Ground) -> dict[str, object]:
    facts: dict[str, object] = {
        "rule": ground.rule,
        "level": enum_word(verdict_pb2.Level, ground.level),
        "reason": enum_word(pb.LevelReason, ground.reason),
        "text": ground.text,
        "text_zh": ground.text_zh,
        "source": ground.source,
        "evidence": ground.evidence,
        "kind": enum_word(pb.EvidenceKind, ground.kind),
        "observed_at": _time(ground, "observed_at"),
        "starts": _time(ground, "starts"),
        "ends": _time(ground, "ends"),
        "active": ground.active,
        "cleared_by": _clearing(ground),
    }
    return {name: value for name, value in facts.items() if value not in {"", None}}


def _clearing(ground: pb.Ground) -> str:
    if not ground.HasField("clearing"):
        return ""
    clearing = ground.clearing
    if clearing.negative_tests == 1:
        text = "1 negative nucleic-acid test"
    else:
        text = f"{clearing.negative_tests} negative nucleic-acid tests, {clearing.apart_hours} hours apart"
    not_before = _time(clearing, "not_before")
    return (
        f"{text}, not before {not_before}" if not_before and not_before != _time(ground, "starts") else text
    )


def _time(message: pb.Ground | pb.Clearing | pb.ExplainLevelResponse, field: str) -> str:
    seconds = epoch(message, field)
    return "" if seconds is None else rfc3339(seconds)
