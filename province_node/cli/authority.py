"""`province-node authority`: the commands of the offline machine. None of them opens a socket."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from healthcode.cli.console import CommandGroup, details, json_option, print_result
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.participant import check_member
from healthcode.identity.realm import check_realm
from healthcode.rpc.mtls.tls_files import write_private
from healthcode.signing.ed25519 import self_test
from healthcode.storage.reading import read_named
from province_node.authority.authority import Authority, check_new_authority
from province_node.authority.handover import MAX_HANDOVER_BYTES, decode_link
from province_node.cli.authority_keys import DEVELOPMENT_PASSPHRASE
from province_node.cli.authority_summary import describe_authority
from province_node.cli.option import ask_passphrase, dir_option, passphrase_option

__all__ = ["authority", "init", "show"]


@click.group(
    cls=CommandGroup,
    lazy={
        "accept": "province_node.cli.authority_handover:accept",
        "handover": "province_node.cli.authority_handover:handover",
        "officers": "province_node.cli.authority_officers:officers",
        "passphrase": "province_node.cli.authority_keys:passphrase",
        "sign": "province_node.cli.authority_sign:sign",
    },
    examples="""
    # on the authority's machine, once
    province-node authority init --dir authority-31 --participant 31 --realm cn --keys 3 --threshold 2
    # for each publication: request.json comes from the node, bundle.json goes back
    province-node authority sign --dir authority-31 --request request.json --out bundle.json
    """,
)
def authority() -> None:
    """Manage the province's offline keys, which sign the keys, CA and endpoints of its node."""


@authority.command(
    examples="""
    province-node authority init --dir authority-31 --participant 31 --realm cn --keys 3 --threshold 2
    province-node authority init --dir authority-31 --participant 31 --realm test-demo --development
    # other people take over: make new keys; the old ones then sign a handover
    province-node authority init --dir authority-31-new --participant 31 --realm cn --after authority-31/authority.json
    """
)
@dir_option("The authority's folder; it is made if missing.")
@click.option("--participant", "code", required=True, help="Two digits, e.g. 31.")
@click.option("--realm", required=True, help="cn, or test-… for a test realm.")
@click.option("--keys", type=click.IntRange(1, 16), default=3, show_default=True, help="Number of keys.")
@click.option(
    "--threshold",
    type=click.IntRange(1, 16),
    default=2,
    show_default=True,
    help="How many of them must sign.",
)
@click.option(
    "--after",
    "after_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="authority.json of the authority before this one, or the file that `province-node chain` wrote.",
)
@click.option("--development", is_flag=True, help="For a test realm: no prompts, one passphrase in a file.")
@passphrase_option
@json_option
def init(
    root: Path,
    code: str,
    realm: str,
    keys: int,
    threshold: int,
    after_file: Path | None,
    development: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make the authority: m-of-n keys, each in an encrypted file of mode 0600.

    Give each key file to its key holder, on a separate medium. One of them keeps the folder
    (authority.json, history). Never copy any of it to the node.
    """
    self_test()
    check_realm(realm)
    check_member(realm, code)
    if development and realm == "cn":
        raise ConfigurationError("--development is only for test realms, not for cn: leave it out")
    previous = None
    if after_file is not None:
        data = read_named(after_file, MAX_HANDOVER_BYTES)
        previous = decode_link(data, realm=realm, participant=code)
    # check before asking for passphrases
    check_new_authority(root, keys=keys, threshold=threshold)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if development:
        drawn = secrets.token_urlsafe(24).encode()
        write_private(root / DEVELOPMENT_PASSPHRASE, drawn + b"\n")
        passphrases = [drawn] * keys
    elif passphrase_file is not None:
        passphrases = [ask_passphrase(passphrase_file, "the authority's keys", new=True)] * keys
    else:
        passphrases = [ask_passphrase(None, f"authority-{n}.key", new=True) for n in range(1, keys + 1)]
    made = Authority.create(
        root,
        participant=code,
        realm=realm,
        passphrases=passphrases,
        threshold=threshold,
        now=SystemClock().now(),
        development=development,
        previous=previous,
    )
    print_result(describe_authority(made), as_json=as_json, table=details)


@authority.command(examples="province-node authority show --dir authority-31")
@dir_option("The authority's folder.")
@json_option
def show(root: Path, as_json: bool) -> None:
    """Show the participant and the keys of this authority."""
    print_result(describe_authority(Authority.open(root)), as_json=as_json, table=details)
