"""`province-node officers`: takes the signed officers file into the node's folder, and shows who is an officer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType

from healthcode.cli.console import CommandGroup, details, json_option, print_result, rows
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import InvalidInputError, PermissionDeniedError, Reason
from healthcode.storage.files import write_output
from healthcode.storage.reading import read_named
from healthcode.trust.format.authority_chain import link_mark
from province_node.cli.entry import read_own_chain
from province_node.cli.option import dir_option
from province_node.officers.officers_file import (
    MAX_OFFICERS_BYTES,
    Officer,
    decode_officers_file,
    encode_officers_file,
    verify_officers_file,
)
from province_node.operations.own_officers import own_roster
from province_node.settings import load_node_settings

__all__ = ["officers"]

_COLUMNS = ("officer", "unit", "roles", "until", "state")


@click.group(
    cls=CommandGroup,
    examples="""
    province-node officers take officers-3.json --dir node-31
    province-node officers list --dir node-31
    """,
)
def officers() -> None:
    """Take the officers file that the authority signed, and list the officers."""


@officers.command(examples="province-node officers take officers-3.json --dir node-31")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dir_option("The node's folder.")
@json_option
def take(file: Path, root: Path, as_json: bool) -> None:
    """Put a signed officers file into the node's folder. A running node reads it within ten seconds.

    It is in force once province.json names it. Older files stay: acts were signed under them.
    """
    settings = load_node_settings(root)
    taken = decode_officers_file(read_named(file, MAX_OFFICERS_BYTES))
    verify_officers_file(taken, realm=settings.realm, participant=settings.participant)
    chain = read_own_chain(settings)
    if chain and link_mark(taken.link) not in {link_mark(each) for each in chain}:
        raise InvalidInputError(
            f"{file} is signed by an authority that is not in this province's chain: find out who made it",
            reason=Reason.OFFICERS_FILE_FOREIGN,
        )
    now, published = SystemClock().now(), own_roster(settings).published
    if now >= taken.expires:
        raise InvalidInputError(
            f"{file} expired {rfc3339(taken.expires)}: have the authority sign the next version",
            reason=Reason.OFFICERS_FILE_EXPIRED,
        )
    if published is not None and taken.version < published.version:
        raise InvalidInputError(
            f"{file} is version {taken.version}, and version {published.version} is published: take that one",
            reason=Reason.OFFICERS_FILE_OLD,
        )
    place = settings.officers / f"{taken.version}-{taken.digest.hex()[:16]}.json"
    settings.officers.mkdir(exist_ok=True, mode=0o700)
    write_output(place, encode_officers_file(taken))
    is_published = published is not None and published.sha256 == taken.digest
    result = {
        "file": str(place),
        "version": taken.version,
        "officers": [each.name for each in taken.officers],
        "expires": rfc3339(taken.expires),
        "digest": f"sha256:{taken.digest.hex()}",
        "in_force": is_published,
        "next": "nothing: this version is published"
        if is_published
        else "`province-node publish` the bundle that names it (`request`, then `authority sign --officers`)",
    }
    print_result(result, as_json=as_json, table=details)


@officers.command("list", examples="province-node officers list --dir node-31 --json")
@dir_option("The node's folder.")
@json_option
def list_(root: Path, as_json: bool) -> None:
    """List the officers of the file in force, or say why it is refused."""
    settings = load_node_settings(root)
    roster, now = own_roster(settings), SystemClock().now()
    result: dict[str, Any] = {
        "version": None,
        "expires": None,
        "digest": None,
        "refused": None,
        "officers": [],
    }
    try:
        file = roster.published_file()
        result |= {
            "version": file.version,
            "expires": rfc3339(file.expires),
            "digest": f"sha256:{file.digest.hex()}",
            "officers": [_row(each, now) for each in file.officers],
        }
        roster.current(now)
    except PermissionDeniedError as error:
        result["refused"] = f"{error.reason}: {error.message}"
    print_result(result, as_json=as_json, table=_table)


def _row(one: Officer, now: int) -> dict[str, Any]:
    return {
        "officer": one.name,
        "unit": one.unit,
        "roles": ", ".join(one.roles),
        "until": rfc3339(one.until),
        "state": "IN_OFFICE" if now < one.until else "ENDED",
        "public_key": f"sha256:{one.spki_sha256.hex()}",
        "sign_key": one.kid.hex(),
    }


def _table(data: Mapping[str, Any]) -> RenderableType:
    facts = {name: value for name, value in data.items() if name != "officers" and value is not None}
    return Group(details(facts), rows(_COLUMNS, data["officers"]))
