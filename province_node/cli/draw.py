"""`province-node draw`: draws a picture of an issued code."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.errors import InvalidInputError
from province_node.cli.code_rows import code_texts
from province_node.codes.qr import check_picture, qr_size, qr_terminal, write_qr

__all__ = ["draw"]


@click.command(
    cls=Command,
    examples="""
    # the second row that `issue --out` wrote
    province-node draw --png code.png --row 2 - < codes.ndjson
    province-node draw --svg code.svg --terminal 'CNHT1:6BF…'
    """,
)
@click.argument("code", metavar="CODE|IMAGE|-")
@click.option(
    "--row",
    type=click.IntRange(1),
    help="Which of several codes, from 1. Rows of refused holders do not count.",
)
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG there; mode 0600.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write an SVG there; mode 0600.")
@click.option("--terminal", is_flag=True, help="Show it on this terminal.")
@json_option
def draw(
    code: str, row: int | None, png: Path | None, svg: Path | None, terminal: bool, as_json: bool
) -> None:
    """Draw a code from its text, or from a row of `issue --out` on standard input (-). Needs no node."""
    if not (png or svg or terminal):
        raise click.UsageError("say where to draw: --png, --svg or --terminal")
    for path, kind in ((png, "png"), (svg, "svg")):
        if path is not None and check_picture(path) != kind:
            raise InvalidInputError(f"--{kind} {path}: the name must end with .{kind}")
    text = _choose(list(code_texts(code)), row)
    for path in filter(None, (png, svg)):
        write_qr(text, path)
    if terminal:
        click.echo(qr_terminal(text))
    result = {
        "png": None if png is None else str(png),
        "svg": None if svg is None else str(svg),
        "size": str(qr_size(text)),
    }
    print_result(
        {name: value for name, value in result.items() if value is not None}, as_json=as_json, table=details
    )


def _choose(texts: list[str], row: int | None) -> str:
    if not texts:
        raise InvalidInputError("no code on standard input: give one code per line")
    if row is None and len(texts) > 1:
        raise InvalidInputError(f"the input has {len(texts)} codes: choose one with --row")
    if row is not None and row > len(texts):
        raise InvalidInputError(f"the input has only {len(texts)} codes: choose a smaller --row")
    return texts[(row or 1) - 1]
