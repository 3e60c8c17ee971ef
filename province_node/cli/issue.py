"""`province-node issue`: issues codes over the issuer listener, as a back end does."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console

from healthcode.cli.console import Command, details, json_option, print_json
from healthcode.clock import SystemClock
from healthcode.errors import HealthcodeError
from healthcode.identity.document import DocumentType
from healthcode.policy.words import LevelReason
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.storage.owner import as_caller
from healthcode.trust.store import TrustStore
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.wire.claims import Level, Presentation
from province_node.cli.code_rows import RowWriter, code_row
from province_node.cli.connection import back_end, name_of
from province_node.cli.holder_rows import DERIVED, MAX_VALIDITY_SECONDS, IssueDefaults, make_item
from province_node.cli.issue_batch import Batch, issue_batch
from province_node.cli.issue_run import check_out
from province_node.cli.option import dir_option, refuse_empty
from province_node.cli.text_file import TextFile, encoding_option
from province_node.codes.qr import check_picture, qr_size, qr_terminal, write_qr
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["issue"]

_TIMEOUT_SECONDS = 60.0


@click.command(
    cls=Command,
    examples="""
    # one holder, entered at a prompt
    province-node issue --dir node-31 --png code.png --terminal
    # many holders: one row in, one row out
    province-node issue --dir node-31 --file holders.ndjson --out codes.ndjson
    # the command was killed, or the node was away: the rest, and no holder gets two codes
    province-node issue --dir node-31 --file holders.ndjson --out codes.ndjson --resume
    # a table from a spreadsheet, whose first line names the columns
    province-node issue --dir node-31 --file holders.csv --encoding gb18030 --out codes.ndjson
    # where levels are stated and not derived, one other than GREEN needs a reason
    province-node issue --dir node-31 --level RED --reason A4
    # after `keys compromise`: new codes only for holders of a code of that key
    province-node issue --dir node-31 --file holders.ndjson --replacing 5f0c9a2b7d31e864 --out codes.ndjson
    # for paper, valid for three days
    province-node issue --dir node-31 --presentation PAPER --validity 259200 --svg code.svg
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--file", "source", type=click.File("rb"), help="Holders as NDJSON or CSV; - reads standard input."
)
@encoding_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    callback=lambda _, __, path: None if path == Path("-") else path,
    help="Write codes as NDJSON, mode 0600. Default, or -: standard output.",
)
@click.option("--resume", is_flag=True, help="Go on with the run into --out that was cut, if there is one.")
@click.option("--overwrite", is_flag=True, help="Replace --out if it exists.")
@click.option(
    "--anew",
    is_flag=True,
    help="With --resume after 24 hours: issue the rows whose answer was lost again, once their codes are revoked.",
)
@click.option(
    "--level",
    type=click.Choice(
        [*(level for level in Level if level is not Level.UNKNOWN), DERIVED], case_sensitive=False
    ),
    show_default=f"{DERIVED} where the policy derives levels, else GREEN",
    help=f"{DERIVED}: the level that the node derives from evidence. Another must then be the derived one.",
)
@click.option(
    "--reason",
    type=click.Choice([*LevelReason], case_sensitive=False),
    help="Why the level is RED (A…) or YELLOW (B…).",
)
@click.option(
    "--legal-instrument", default="", help="Number of the legal instrument; required for A8 and B6."
)
@click.option("--level-until", metavar="RFC3339", help="When the level ends; required for A8 and B6.")
@click.option(
    "--presentation",
    type=click.Choice([*Presentation], case_sensitive=False),
    default=Presentation.LIVE,
    show_default=True,
)
@click.option(
    "--validity",
    type=click.IntRange(1, MAX_VALIDITY_SECONDS),
    metavar="SECONDS",
    help="How long the code is valid. Default: as configured.",
)
@click.option("--shown-by-relative", is_flag=True, help="A relative shows the code for the holder.")
@click.option(
    "--replacing",
    metavar="KID",
    callback=refuse_empty,
    help="Issue only to holders of a code signed by this key.",
)
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw the code (one holder).")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw the code (one holder).")
@click.option("--terminal", is_flag=True, help="Show the code on this terminal (one holder).")
@json_option
def issue(
    root: Path,
    source: BinaryIO | None,
    encoding: str | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    anew: bool,
    level: str | None,
    reason: str | None,
    legal_instrument: str,
    level_until: str | None,
    presentation: str,
    validity: int | None,
    shown_by_relative: bool,
    replacing: str,
    png: Path | None,
    svg: Path | None,
    terminal: bool,
    as_json: bool,
) -> None:
    """Issue codes. Id numbers come from a file, standard input or a prompt, never from arguments.

    Exit status 1 if a holder was refused or a line is unreadable; the other holders get their codes. A
    holder who is in the file twice is refused in both lines.

    A run into --out that is cut keeps OUT.run and OUT.partial, and goes on with --resume. Without --out
    codes of a cut run may exist that were never given out.
    """
    if resume and (source is None or out is None):
        raise click.UsageError("--resume goes on with a file: add --file and --out")
    if anew and not resume:
        raise click.UsageError("--anew is for a run that was cut: add --resume")
    settings = load_node_settings(root)
    defaults = IssueDefaults(
        level=level or _usual_level(settings),
        reason=reason,
        legal_instrument=legal_instrument,
        level_until=level_until,
        presentation=presentation,
        validity_seconds=validity,
        shown_by_relative=shown_by_relative,
    )
    if source is not None:
        if png or svg or terminal:
            raise click.UsageError("--png, --svg and --terminal draw a single code: leave out --file")
        file = TextFile(source, encoding)
        batch = Batch(file, defaults, replacing, out, resume=resume, overwrite=overwrite, anew=anew)
        issue_batch(root, settings, batch, as_json=as_json)
    else:
        for path in filter(None, (png, svg)):
            check_picture(path)  # check before issuing
        if out is not None:
            with as_caller():
                check_out(out, overwrite=overwrite)
        if replacing:
            raise click.UsageError("--replacing needs a file of holders: add --file")
        _issue_one(
            root, settings, _ask_holder(defaults), png, svg, terminal=terminal, as_json=as_json, out=out
        )


def _usual_level(settings: NodeSettings) -> str:
    """The level of rows that state none, by the policy in this node's trust folder."""
    try:
        view = TrustStore.open(settings.trust.folder).view
    except HealthcodeError:
        return Level.GREEN  # without trust nothing is issued
    return Level.GREEN if view.policy.in_force(SystemClock().now()).levels is None else DERIVED


def _ask_holder(defaults: IssueDefaults) -> province_issuer_pb2.IssueItem:
    """Reads one holder from the terminal, or from three lines of a pipe: type, number, name."""
    if sys.stdin.isatty():
        kinds = ", ".join(f"{kind.value} {kind.name}" for kind in DocumentType)
        row: dict[str, object] = {
            "document_type": click.prompt(f"document type ({kinds})", default="10", err=True),
            "number": click.prompt("document number", hide_input=True, err=True),
            "name": click.prompt("full name", default="", show_default=False, err=True),
        }
    else:
        lines = [sys.stdin.readline(1024).strip() for _ in range(3)]
        row = dict(zip(("document_type", "number", "name"), lines, strict=True))
    return make_item(row, defaults)


def _issue_one(
    root: Path,
    settings: NodeSettings,
    item: province_issuer_pb2.IssueItem,
    png: Path | None,
    svg: Path | None,
    *,
    terminal: bool,
    as_json: bool,
    out: Path | None,
) -> None:
    issued = asyncio.run(_send_one(root, settings, item))
    row = code_row(issued)
    if out is not None:
        with RowWriter(out) as output:
            output.write(row)
    for path in filter(None, (png, svg)):
        write_qr(issued.code, path)
        row[path.suffix.removeprefix(".")] = str(path)
    row["size"] = str(qr_size(issued.code))
    if as_json:
        print_json(row)
        return
    if terminal:
        click.echo(qr_terminal(issued.code))
    # on its own line and never wrapped, so that it can be copied
    click.echo(row.pop("code"))
    Console().print(details(row))


async def _send_one(
    root: Path, settings: NodeSettings, item: province_issuer_pb2.IssueItem
) -> province_issuer_pb2.IssuedCode:
    request = province_issuer_pb2.IssueCodeRequest(request_id=str(uuid.uuid4()), item=item)
    async with back_end(root, settings) as channel:
        with rpc_errors(name_of(settings.issuer_listen)):
            response = await ProvinceIssuerServiceStub(channel).IssueCode(request, timeout=_TIMEOUT_SECONDS)
    return response.issued
