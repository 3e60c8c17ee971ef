"""`province-node authority handover` and `accept`: new keys replace the present ones."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, error_console, json_option, print_result
from healthcode.signing.ed25519 import kid, self_test
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import read_named
from province_node.authority.authority import Authority
from province_node.authority.handover import MAX_HANDOVER_BYTES, decode_handover, encode_handover
from province_node.cli.authority_keys import key_option, open_authority_keys
from province_node.cli.authority_summary import describe_authority
from province_node.cli.option import dir_option, passphrase_option, yes_option

__all__ = ["accept", "handover"]


@click.command(
    cls=Command,
    examples="""
    # each holder of an old key in turn, until the old threshold is reached
    province-node authority handover --dir authority-31 --to authority-31-new/authority.json --out handover.json
    province-node authority handover --dir authority-31 --to handover.json --key authority-2.key --out handover.json
    """,
)
@dir_option("The folder of the authority that hands over.")
@click.option(
    "--to",
    "to_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="authority.json of the new authority, or a handover that needs more signatures.",
)
@key_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where to write the handover.",
)
@passphrase_option
@yes_option
@json_option
def handover(
    root: Path,
    to_file: Path,
    key_files: tuple[Path, ...],
    out: Path,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """As the present authority, sign over to the keys that replace it."""
    self_test()
    mine = Authority.open(root)
    wanted = decode_handover(read_named(to_file, MAX_HANDOVER_BYTES))
    console = error_console()
    console.print(f"[bold]To hand over: participant {wanted.participant}, realm {wanted.realm}[/]")
    before, after = wanted.previous, wanted.link
    for line in (
        *(f"- key {kid(key).hex()}" for key in before.keys),
        *(f"+ key {kid(key).hex()}" for key in after.keys),
        f"~ threshold {before.threshold} of {len(before.keys)} becomes {after.threshold} of {len(after.keys)}",
    ):
        console.print(f"  {line}", markup=False, highlight=False)
    keys = open_authority_keys(root, key_files, passphrase_file, "Hand over to these keys?", yes=yes)
    signed = mine.hand_over(wanted, keys)
    with as_caller():
        write_output(out, encode_handover(signed))
    result = {
        "handover": str(out),
        "participant": signed.participant,
        "link": signed.link.seq,
        "signed_by": [kid(key.public).hex() for key in keys],
        "missing_signatures": signed.missing,
        "next": "the new authority runs `authority accept --handover FILE`"
        if signed.missing == 0
        else f"{signed.missing} more to sign: the next key holder runs `authority handover --to {out} --out {out}`",
    }
    print_result(result, as_json=as_json, table=details)


@click.command(
    cls=Command, examples="province-node authority accept --dir authority-31-new --handover handover.json"
)
@dir_option("The folder of the new authority.")
@click.option(
    "--handover",
    "handover_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file that the previous authority signed.",
)
@json_option
def accept(root: Path, handover_file: Path, as_json: bool) -> None:
    """Store a complete handover in the new authority's folder, which can then sign."""
    self_test()
    mine = Authority.open(root).accept(decode_handover(read_named(handover_file, MAX_HANDOVER_BYTES)))
    result = {
        **describe_authority(mine),
        "next": "sign the node's request: `authority sign --request request.json --out bundle.json`; then the node submits it with `join`",
    }
    print_result(result, as_json=as_json, table=details)
