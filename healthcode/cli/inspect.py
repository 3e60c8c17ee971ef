"""`healthcode inspect`: prints the contents of a code without verifying it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.code_input import read_codes
from healthcode.cli.console import EXIT_REFUSED, Command, details, exit_with, json_option, print_result
from healthcode.clock import rfc3339
from healthcode.errors import DecodeError, InvalidInputError, NotFoundError
from healthcode.identity.participant import participant
from healthcode.identity.realm import PRODUCTION, code_prefix
from healthcode.wire.code import DecodedCode, decode_code

__all__ = ["inspect"]

_ANY_TEST_REALM = "test-any"
_NO_CODE = (
    f"a code begins with {code_prefix(PRODUCTION)}, or in a test realm with {code_prefix(_ANY_TEST_REALM)}"
)


@click.command(
    cls=Command,
    examples="""
    healthcode inspect code.png
    healthcode inspect 'CNHT1:6BF…'
    healthcode inspect --json - < codes.txt
    """,
)
@click.argument("code", metavar="CODE|IMAGE|-")
@json_option
def inspect(code: str, as_json: bool) -> None:
    """Show the contents of a code. Nothing is verified, so it may be forged.

    Exit status 1 if a text is not a code.
    """
    found = [_describe(text) for text in read_codes(code)]
    if not found:
        raise InvalidInputError("no code on standard input: give one code per line")
    data = found[0] if len(found) == 1 else found
    print_result(data, as_json=as_json, table=lambda _: Group(*(_table(one) for one in found)))
    if any("malformed" in one for one in found):
        exit_with(EXIT_REFUSED)


def _describe(text: str) -> dict[str, Any]:
    is_test = text.startswith(code_prefix(_ANY_TEST_REALM))
    try:
        decoded = decode_code(text, _ANY_TEST_REALM if is_test else PRODUCTION)
    except DecodeError as error:
        return {
            "verified": False,
            "malformed": error.detail,
            "message": _NO_CODE if error.detail == "code.prefix" else error.message,
            "characters": len(text),
        }
    return {"verified": False, "realm": "a test realm" if is_test else PRODUCTION, **_claims(decoded, text)}


def _claims(decoded: DecodedCode, text: str) -> dict[str, Any]:
    claims = decoded.claims
    return {
        "issuer": claims.issuer,
        "issuer_name": _issuer_name(claims.issuer),
        "kid": decoded.sign1.kid.hex(),
        "level": str(claims.level),
        "rule": claims.rule,
        "presentation": str(claims.presentation),
        "shown_by_relative": claims.shown_by_relative,
        "masked_name": claims.name,
        "holder_tag": None if claims.tag is None else claims.tag.hex(),
        "index": claims.index,
        "issued_at": rfc3339(claims.issued_at),
        "not_before": None if claims.not_before is None else rfc3339(claims.not_before),
        "expires_at": rfc3339(claims.expires_at),
        "version": claims.version,
        "characters": len(text),
        "cose_bytes": len(decoded.cose),
    }


def _issuer_name(code: str) -> str | None:
    try:
        found = participant(code)
    except NotFoundError:
        return None
    return f"{found.english} {found.chinese}"


def _table(data: Mapping[str, Any]) -> RenderableType:
    if "malformed" in data:
        heading = Text("MALFORMED: this is not a code.", style="bold red")
    else:
        unverified = "NOT VERIFIED: anyone can write such a code. Use `healthcode verify`."
        heading = Text(unverified, style="bold yellow")
    return Group(
        heading, details({name: value for name, value in data.items() if name != "verified"}), Text()
    )
