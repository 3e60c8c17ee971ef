"""`healthcode verify`: verifies codes offline, by the trust folder alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from healthcode.cli.code_input import read_codes
from healthcode.cli.console import Command, exit_with, json_option
from healthcode.cli.folder import open_trust, trust_option
from healthcode.cli.verdict_output import exit_status, verdict_line, verdict_panel
from healthcode.clock import SystemClock, parse_rfc3339
from healthcode.identity.document import DocumentType, IdentityDocument, decode_document
from healthcode.policy.words import PersonCategory, PlaceType
from healthcode.verification.verdict import Verdict
from healthcode.verification.verifier import Verifier

__all__ = ["verify"]


class _Word(click.Choice[str]):
    """A choice of words, in upper or lower case."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value.upper(), param, ctx)


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_rfc3339(text)
    except ValueError as error:
        raise click.BadParameter("write a time like 2026-11-21T08:00:00Z") from error


@click.command(
    cls=Command,
    examples="""
    healthcode verify --place STATION code.png
    healthcode verify --place HOSPITAL 'CNHT1:6BF…'
    # compare with the holder's card: a prompt asks for its number
    healthcode verify --place STATION --document 10 code.png
    # many codes: one line in, one line of JSON out
    healthcode verify --place STATION --json - < codes.txt > verdicts.ndjson
    """,
)
@click.argument("code", metavar="CODE|IMAGE|-")
@trust_option("--trust")
@click.option(
    "--place",
    type=_Word([str(word) for word in PlaceType]),
    default=None,
    help="Type of the place where the code is shown; without it decided as OTHER, with a warning.",
)
@click.option(
    "--area",
    default="",
    metavar="GB/T 2260",
    help="The six-digit code of the place's area; without it, area risk is not considered.",
)
@click.option(
    "--category",
    type=_Word([str(word) for word in PersonCategory]),
    default=str(PersonCategory.GENERAL),
    show_default=True,
    help="A category of persons for which the policy has rules of its own.",
)
@click.option(
    "--document",
    "document_type",
    type=click.Choice([str(kind) for kind in DocumentType]),
    help="Match a document of this type (10: resident identity card); a prompt asks for its number.",
)
@click.option(
    "--at", "now", metavar="RFC3339", callback=_moment, help="Decide as of this time. Default: now."
)
@json_option
def verify(
    code: str,
    folder: Path,
    place: str | None,
    area: str,
    category: str,
    document_type: str | None,
    now: int | None,
    as_json: bool,
) -> None:
    """Verify a code, the QR codes in a picture, or lines on standard input (-). No network is used.

    Exit status 0 for PASS and CHECK_NOT_REQUIRED, 1 for REFUSE, 3 for FURTHER_CHECK and UNDECIDED,
    2 if there is no trust folder, 4 if nothing in it is valid. For several codes, the worst result
    counts.
    """
    store = open_trust(folder)
    for warning in store.warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)
    verifier = Verifier(store)
    many = code == "-"
    verdicts: list[Verdict] = []
    document = None if document_type is None else _ask_document(document_type, code)
    for number, text in enumerate(read_codes(code), 1):
        verdict = verifier.verify(
            text,
            place=place,
            area=area,
            category=category,
            document=document,
            item_id=str(number) if many else "",
            now=SystemClock().now() if now is None else now,
        )
        verdicts.append(verdict)
        _show(verdict, as_json=as_json)
    if not verdicts:
        raise click.ClickException("no code on standard input: give one code per line")
    exit_with(exit_status(verdicts))


def _show(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        click.echo(verdict_line(verdict))
    else:
        Console().print(verdict_panel(verdict))


def _ask_document(kind: str, code: str) -> IdentityDocument:
    """The holder's document; its number comes from a prompt, or from standard input if that has no codes."""
    if sys.stdin.isatty():
        number = click.prompt("document number", hide_input=True, err=True)
    elif code == "-":
        raise click.UsageError("--document needs a terminal when the codes come on standard input")
    else:
        number = sys.stdin.readline(256)
    return decode_document(kind, number.strip(os.linesep))
