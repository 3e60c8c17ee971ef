"""`province-node authority sign`: shows what a node asks for, then signs it."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, error_console, json_option, print_result
from healthcode.clock import SystemClock, rfc3339
from healthcode.signing.ed25519 import kid, self_test
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import read_named
from healthcode.trust.verify.join_request import JoinRequest, encode_join_request, join_digest
from province_node.authority.authority import Authority
from province_node.authority.bundle import (
    bundle_digest,
    decode_bundle,
    describe_change,
    missing_signatures,
    verify_bundle_content,
)
from province_node.authority.officers_office import (
    OFFICERS_FOLDER,
    OfficersOffice,
    check_officers_reference,
    reference_to,
)
from province_node.authority.request import MAX_REQUEST_BYTES, decode_request
from province_node.cli.authority_keys import key_option, open_authority_keys
from province_node.cli.authority_summary import authority_link_digest, show_officers
from province_node.cli.option import dir_option, passphrase_option, yes_option
from province_node.cli.signed_bundle import MAX_BUNDLE_BYTES
from province_node.officers.officers_file import MAX_OFFICERS_BYTES, decode_officers_file

__all__ = ["sign"]


@click.command(
    cls=Command,
    examples="""
    province-node authority sign --dir authority-31 --request request.json --key authority-1.key --key authority-2.key --out bundle.json
    # a second holder, on another machine, adds a signature
    province-node authority sign --dir authority-31 --bundle bundle.json --key /media/stick/authority-3.key --out bundle.json
    """,
)
@dir_option("The authority's folder.")
@click.option(
    "--request",
    "request_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="request.json of the node.",
)
@click.option(
    "--bundle",
    "bundle_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A bundle that needs more signatures.",
)
@click.option(
    "--officers",
    "officers_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The signed officers file that this names from now on; needed when it is another than before.",
)
@key_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write the bundle."
)
@click.option("--replace", is_flag=True, help="Sign a version again with different content.")
@passphrase_option
@yes_option
@json_option
def sign(
    root: Path,
    request_file: Path | None,
    bundle_file: Path | None,
    officers_path: Path | None,
    key_files: tuple[Path, ...],
    out: Path,
    replace: bool,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Show the changes, then sign a node's request or add a signature to a bundle."""
    self_test()
    now = SystemClock().now()
    mine = Authority.open(root)
    if (request_file is None) == (bundle_file is None):
        raise click.UsageError("give either --request or --bundle")
    office = OfficersOffice(mine.folder / OFFICERS_FOLDER, mine.file)
    named = (
        None if officers_path is None else decode_officers_file(read_named(officers_path, MAX_OFFICERS_BYTES))
    )
    if request_file is not None:
        request = decode_request(read_named(request_file, MAX_REQUEST_BYTES))
        if named is not None:
            province = request.province.model_copy(update={"officers": reference_to(named)})
            request = request.model_copy(update={"province": province})
        bundle = mine.begin(request, now=now, replace=replace)
    else:
        bundle = decode_bundle(read_named(bundle_file or Path(), MAX_BUNDLE_BYTES))
    asked = verify_bundle_content(bundle)
    last = mine.last_completed(before=asked.version)
    before = None if last is None else verify_bundle_content(last).province.officers
    check_officers_reference(office, before, asked.province.officers, named)
    digest = f"sha256:{bundle_digest(bundle)}"
    _show_change(mine, bundle, last, digest)
    if named is not None:
        show_officers(office, named)
        office.keep(named)  # the next file is drafted from it, also by a new authority
    keys = open_authority_keys(root, key_files, passphrase_file, f"Sign {digest}?", yes=yes)
    signed = mine.sign(bundle, keys, now=now, replace=replace)
    data = encode_join_request(signed)
    with as_caller():
        write_output(out, data)
    missing, successor = missing_signatures(signed), mine.successor
    result = {
        "bundle": str(out),
        "participant": signed.participant,
        "realm": signed.realm,
        "version": asked.version,
        "signed_by": [kid(key.public).hex() for key in keys],
        "missing_signatures": missing,
        "handed_over_to": None if successor is None else f"link {successor.seq}",
        "digest": digest,
        # operators compare it at `join`; it changes with each added signature
        "request_digest": join_digest(data) if missing == 0 else None,
        "link_digest": authority_link_digest(mine),
        "next": _next_of(mine, asked.version, is_first=last is None)
        if missing == 0
        else f"{missing} more to sign: the next key holder runs `authority sign --bundle {out} --out {out}`, with a copy of "
        "authority.json in --dir",
    }
    print_result(result, as_json=as_json, table=details)


def _show_change(mine: Authority, bundle: JoinRequest, last: JoinRequest | None, digest: str) -> None:
    """Prints what will be signed, compared with the last version completed in this folder."""
    asked = verify_bundle_content(bundle)
    before = None if last is None else verify_bundle_content(last)
    console = error_console()
    console.print(
        f"[bold]To sign: participant {bundle.participant}, realm {bundle.realm}, version {asked.version}[/], "
        f"expires {rfc3339(asked.expires)}"
    )
    if before is None:
        console.print("  this folder has completed no version yet, so everything is shown")
    else:
        console.print(f"  compared with version {before.version}")
    for line in describe_change(before, asked) or ["no change except the expiry"]:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if (successor := mine.successor) is not None:
        console.print(
            f"[bold red]This authority has handed over to link {successor.seq}[/] (kid {kid(successor.keys[0]).hex()} …). Once "
            "that link is admitted, signatures made here are invalid",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"  digest {digest}; every key holder must see the same", highlight=False, soft_wrap=True)


def _next_of(mine: Authority, version: int, *, is_first: bool) -> str:
    """What to do with a complete bundle. A new authority must be admitted by `join` before it can publish."""
    link = mine.file.link
    if version == 1 or (is_first and link.seq > 1):
        return (
            "copy the bundle to the node and run `province-node join` there: this authority is invalid until the operators "
            "have admitted it"
        )
    return "copy the bundle to the node and run `province-node publish` there (`join` if this authority is not admitted yet)"
