"""`province-node revoke`: revokes by code, by holder, or by how codes were issued."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError
from healthcode.policy.words import LevelReason
from healthcode.rpc.convert import enum_number
from healthcode.v1 import province_issuer_pb2
from province_node.cli.code_rows import code_texts
from province_node.cli.holder_rows import IssueDefaults, read_holders
from province_node.cli.node_records import wait_for_publication
from province_node.cli.option import confirm, dir_option, refuse_empty, yes_option
from province_node.cli.revoke_send import Count, Request, send_all
from province_node.cli.text_file import TextFile, encoding_option
from province_node.codes.revoke import MAX_HOLDERS, MAX_REVOCATIONS
from province_node.settings import load_node_settings
from province_node.store.records import RevocationReason

__all__ = ["revoke"]


@click.command(
    cls=Command,
    examples="""
    province-node revoke --dir node-31 --reason LOST_OR_STOLEN 'CNHT1:6BF…'
    # a picture of the code; many codes, one a line, or the rows that `issue --out` wrote
    province-node revoke --dir node-31 --reason HOLDER_REQUEST code.png
    province-node revoke --dir node-31 --reason ISSUED_IN_ERROR --yes - < codes.ndjson
    # every code of some holders, given as rows like {"number": "…"}
    province-node revoke --dir node-31 --reason HOLDER_DECEASED --holders holders.ndjson
    # a batch issued wrongly: count first, then revoke
    province-node revoke --dir node-31 --reason FRAUD --level-reason A8 \\
        --issued-by spiffe://test-demo.healthcode/issuer/31/backend \\
        --from 2026-12-01T08:00:00Z --until 2026-12-01T12:00:00Z --dry-run
    """,
)
@dir_option("The node's folder.")
@click.argument("code", metavar="[CODE|IMAGE|-]", required=False)
@click.option("--holders", type=click.File("rb"), help="Holders as NDJSON or CSV; - reads standard input.")
@encoding_option
@click.option("--rule", callback=refuse_empty, help="Codes whose level has this level rule.")
@click.option(
    "--level-reason",
    type=click.Choice([*LevelReason], case_sensitive=False),
    help="Codes whose level has this reason.",
)
@click.option("--issued-by", callback=refuse_empty, metavar="URI", help="Codes issued to this back end.")
@click.option("--from", "begin", metavar="RFC3339", help="Codes signed at or after this time.")
@click.option("--until", "end", metavar="RFC3339", help="Codes signed before this time.")
@click.option("--reason", type=click.Choice([*RevocationReason], case_sensitive=False), required=True)
@click.option("--dry-run", is_flag=True, help="Only count; revoke nothing.")
@yes_option
@json_option
def revoke(
    root: Path,
    code: str | None,
    holders: BinaryIO | None,
    encoding: str | None,
    rule: str,
    level_reason: str | None,
    issued_by: str,
    begin: str | None,
    end: str | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Revoke codes of this participant. Other nodes refuse them within seconds.

    A revocation cannot be undone. Each request of 10,000 codes is all or nothing: if one text is
    not a code of this participant, none of them is revoked. More than one code is counted first,
    and you are asked to confirm.
    """
    settings = load_node_settings(root)
    number = enum_number(province_issuer_pb2.RevocationReason, RevocationReason(reason.upper()))
    by_issue = any((rule, level_reason, issued_by, begin, end))
    if sum((code is not None, holders is not None, by_issue)) != 1:
        raise click.UsageError(
            "choose one way to select codes: codes, --holders, or --rule, --level-reason, --issued-by "
            "with --from and --until"
        )
    requests: list[Request]
    if code is not None:
        requests = _by_code(list(code_texts(code)), number)
    elif holders is not None:
        requests = _by_holder(TextFile(holders, encoding), number)
    else:
        requests = [_by_issue(number, rule, level_reason, issued_by, begin, end)]
    counts_first = dry_run or len(requests) > 1 or _size(requests[0]) != 1
    counted = send_all(root, settings, requests, count_only=True) if counts_first else Count(1)
    if dry_run:
        result: dict[str, object] = {
            "would_revoke": counted.newly,
            "already_revoked": counted.already,
            "reason": reason,
            "next": "run the same command without --dry-run"
            if counted.newly
            else "nothing to do: no code would be revoked",
        }
        print_result(result, as_json=as_json, table=details)
        return
    if counted.newly > 1:
        _confirm(
            counted.newly,
            yes=yes,
            from_stdin=code == "-" or (holders is not None and holders.name == "<stdin>"),
        )
    done = send_all(root, settings, requests, count_only=False)
    result = {
        "newly_revoked": done.newly,
        "already_revoked": done.already,
        "reason": reason,
        "published": wait_for_publication(settings),
    }
    print_result(result, as_json=as_json, table=details)


def _confirm(count: int, *, yes: bool, from_stdin: bool) -> None:
    if from_stdin and not yes:
        raise click.UsageError(
            f"this would revoke {count} codes, and standard input cannot confirm it: add --yes once you are sure"
        )
    confirm(f"revoke {count} codes? This cannot be undone; holders would need new codes", yes=yes)


def _by_code(texts: Sequence[str], reason: province_issuer_pb2.RevocationReason.ValueType) -> list[Request]:
    if not texts:
        raise InvalidInputError("no code on standard input: give one code per line")
    return [
        province_issuer_pb2.RevokeCodesRequest(
            request_id=str(uuid.uuid4()), codes=texts[start : start + MAX_REVOCATIONS], reason=reason
        )
        for start in range(0, len(texts), MAX_REVOCATIONS)
    ]


def _by_holder(file: TextFile, reason: province_issuer_pb2.RevocationReason.ValueType) -> list[Request]:
    documents = [row.item.document for row in read_holders(file, IssueDefaults())]
    if not documents:
        raise InvalidInputError("the file has no holder: give one row per holder")
    return [
        province_issuer_pb2.RevokeMatchingRequest(
            request_id=str(uuid.uuid4()),
            holders=province_issuer_pb2.HolderSelection(documents=documents[start : start + MAX_HOLDERS]),
            reason=reason,
        )
        for start in range(0, len(documents), MAX_HOLDERS)
    ]


def _by_issue(
    reason: province_issuer_pb2.RevocationReason.ValueType,
    rule: str,
    level_reason: str | None,
    issued_by: str,
    begin: str | None,
    end: str | None,
) -> Request:
    if begin is None or end is None:
        raise click.UsageError("give the time of issue with --from and --until")
    issued = province_issuer_pb2.IssueSelection(rule=rule, issued_by=issued_by)
    for text, field in ((begin, issued.issued_from), (end, issued.issued_until)):
        try:
            field.seconds = parse_rfc3339(text)
        except ValueError:
            raise click.UsageError("--from, --until: write a time like 2026-12-01T08:00:00Z") from None
    if level_reason is not None:
        issued.level_reason = enum_number(province_issuer_pb2.LevelReason, LevelReason(level_reason.upper()))
    return province_issuer_pb2.RevokeMatchingRequest(
        request_id=str(uuid.uuid4()), issued=issued, reason=reason
    )


def _size(request: Request) -> int:
    """How many codes a request lists; 0 if it selects them otherwise."""
    return len(request.codes) if isinstance(request, province_issuer_pb2.RevokeCodesRequest) else 0
