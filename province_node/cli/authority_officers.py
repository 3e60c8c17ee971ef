"""`province-node authority officers`: appoints and removes officers, offline, and signs the officers file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from healthcode.cli.console import CommandGroup, details, json_option, print_result
from healthcode.clock import SystemClock, parse_rfc3339, rfc3339
from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.role import Role
from healthcode.signing.ed25519 import kid, self_test
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import read_named
from province_node.authority.authority import Authority
from province_node.authority.officers_office import OFFICERS_FOLDER, OfficersOffice
from province_node.cli.authority_keys import key_option, open_authority_keys
from province_node.cli.authority_summary import show_officers
from province_node.cli.option import dir_option, passphrase_option, yes_option
from province_node.officers.appointment import appoint as appoint_officer
from province_node.officers.appointment import remove as remove_officer
from province_node.officers.officer_card import MAX_CARD_BYTES, card_digest, decode_card
from province_node.officers.officers_file import (
    MAX_OFFICERS_BYTES,
    OfficersFile,
    decode_officers_file,
    encode_officers_file,
    missing_officer_signatures,
    sign_officers_file,
)

__all__ = ["officers"]

_DAY = 86_400
_DEFAULT_DAYS = 180


@click.group(
    cls=CommandGroup,
    examples="""
    province-node authority officers appoint --dir authority-31 --card li/card.json --role HEALTH_OFFICER \\
        --unit "Municipal CDC" --until 2027-12-01T00:00:00Z
    province-node authority officers remove --dir authority-31 zhao
    province-node authority officers sign --dir authority-31 --out officers-3.json
    # the node then names it: see `authority sign --officers`
    province-node authority sign --dir authority-31 --request request.json --officers officers-3.json --out bundle.json
    """,
)
def officers() -> None:
    """Say who may act for the province: draft the next officers file, look at it, and sign it."""


@officers.command(
    examples="""
    province-node authority officers appoint --dir authority-31 --card li/card.json --role HEALTH_OFFICER \\
        --unit "Municipal CDC" --until 2027-12-01T00:00:00Z
    """
)
@dir_option("The authority's folder.")
@click.option(
    "--card",
    "card_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="card.json of the officer. Compare its digest with what the officer reads out.",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice([each.value for each in Role], case_sensitive=False),
    help="What they may do; several times for several.",
)
@click.option("--unit", required=True, help="The office that answers for this officer.")
@click.option("--until", required=True, help="When the appointment ends, like 2027-12-01T00:00:00Z.")
@json_option
def appoint(root: Path, card_file: Path, roles: Sequence[str], unit: str, until: str, as_json: bool) -> None:
    """Add an officer to the next officers file; one of the same name is replaced, for new keys, roles or unit."""
    office, now = _office(root), SystemClock().now()
    mine = office.authority
    card = decode_card(read_named(card_file, MAX_CARD_BYTES), realm=mine.realm, participant=mine.participant)
    try:
        ends = parse_rfc3339(until)
    except ValueError as error:
        raise InvalidInputError(f"--until: {error}") from None
    words = frozenset(Role(each.upper()) for each in roles)
    draft = office.draft(expires=now + _DEFAULT_DAYS * _DAY)
    file = appoint_officer(draft, card, roles=words, unit=unit, until=ends, now=now)
    office.keep(file)
    show_officers(office, file)
    result = _result(file) | {"card_digest": card_digest(card)}
    print_result(result, as_json=as_json, table=details)


@officers.command(examples="province-node authority officers remove --dir authority-31 zhao")
@dir_option("The authority's folder.")
@click.argument("name")
@json_option
def remove(root: Path, name: str, as_json: bool) -> None:
    """Leave an officer out of the next officers file. What they signed before stays."""
    office = _office(root)
    file = remove_officer(office.draft(expires=SystemClock().now() + _DEFAULT_DAYS * _DAY), name)
    office.keep(file)
    show_officers(office, file)
    print_result(_result(file), as_json=as_json, table=details)


@officers.command(examples="province-node authority officers show --dir authority-31")
@dir_option("The authority's folder.")
@json_option
def show(root: Path, as_json: bool) -> None:
    """Show the next officers file, and what it changes."""
    office = _office(root)
    file = office.draft(expires=SystemClock().now() + _DEFAULT_DAYS * _DAY)
    show_officers(office, file)
    names = [f"{each.name} ({' '.join(each.roles)}, {each.unit})" for each in file.officers]
    print_result(_result(file) | {"officers": names}, as_json=as_json, table=details)


@officers.command(
    examples="""
    province-node authority officers sign --dir authority-31 --key authority-1.key --out officers-3.json
    # a second holder, on another machine, adds a signature to the same file
    province-node authority officers sign --dir authority-31 --file officers-3.json --key /media/stick/authority-2.key \\
        --out officers-3.json
    """
)
@dir_option("The authority's folder.")
@click.option(
    "--file",
    "given",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An officers file that needs more signatures. Default: the drafted one, or the next version with the same officers.",
)
@click.option(
    "--after",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The published officers file, from the node: a new authority, whose folder has none, signs the next version.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=_DEFAULT_DAYS,
    show_default=True,
    help="How long a new file is in force.",
)
@key_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write the file."
)
@passphrase_option
@yes_option
@json_option
def sign(
    root: Path,
    given: Path | None,
    after: Path | None,
    days: int,
    key_files: tuple[Path, ...],
    out: Path,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Show who comes, goes and changes, then sign the officers file."""
    self_test()
    office, now = _office(root), SystemClock().now()
    expires = now + days * _DAY
    if given is not None and after is not None:
        raise click.UsageError("give --file or --after, not both")
    if after is not None:
        file = office.draft_after(
            decode_officers_file(read_named(after, MAX_OFFICERS_BYTES)), expires=expires
        )
    elif given is not None:
        file = decode_officers_file(read_named(given, MAX_OFFICERS_BYTES))
        last = office.last_complete()
        if last is not None and file.version < last.version:
            raise InvalidInputError(
                f"{given} is version {file.version}, and version {last.version} is signed here: it would take officers back",
                reason=Reason.OFFICERS_FILE_OLD,
            )
    else:
        file = office.draft(expires=expires)
        if not file.signatures:
            file = file.model_copy(update={"expires": expires})
    office.check_mine(file)
    if now >= file.expires:
        raise InvalidInputError(
            f"officers file version {file.version} expired {rfc3339(file.expires)}: draft it again with `appoint` or `remove`"
        )
    show_officers(office, file)
    digest = f"sha256:{file.digest.hex()}"
    keys = open_authority_keys(root, key_files, passphrase_file, f"Sign {digest}?", yes=yes)
    signed = sign_officers_file(file, keys)
    office.keep(signed)
    with as_caller():
        write_output(out, encode_officers_file(signed))
    missing = missing_officer_signatures(signed)
    result = _result(signed) | {
        "file": str(out),
        "signed_by": [kid(key.public).hex() for key in keys],
        "missing_signatures": missing,
        "next": f"sign a request.json of the node with `authority sign --officers {out}`; carry both files to the node, and run "
        f"`province-node officers take` and `province-node publish` there"
        if missing == 0
        else f"{missing} more to sign: the next key holder runs `authority officers sign --file {out} --out {out}`",
    }
    print_result(result, as_json=as_json, table=details)


def _office(root: Path) -> OfficersOffice:
    mine = Authority.open(root)
    return OfficersOffice(mine.folder / OFFICERS_FOLDER, mine.file)


def _result(file: OfficersFile) -> dict[str, Any]:
    return {
        "version": file.version,
        "expires": rfc3339(file.expires),
        "officers": [each.name for each in file.officers],
        "digest": f"sha256:{file.digest.hex()}",
    }
