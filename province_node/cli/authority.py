"""`province-node authority`: the offline machine's commands. None of them opens a socket."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from healthcode.cli.console import CommandGroup, details, error_console, json_option, print_result
from healthcode.cli.passphrase import new_passphrase, new_passphrase_option, old_passphrase, say_changed
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.identity.participant import check_member
from healthcode.identity.realm import check_realm
from healthcode.rpc.mtls.certificate import write_private
from healthcode.signing.ed25519 import PrivateKey, kid, self_test
from healthcode.signing.keyfile import read_key_file, read_key_info
from healthcode.signing.passphrase import check_secret_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.signing.relock import change_passphrase, replace_passphrase_file
from healthcode.storage.files import write_output
from healthcode.storage.reading import read_bounded
from healthcode.trust.format.authority_chain import link_digest
from healthcode.trust.verify.join_request import encode_join_request, join_digest
from province_node.authority.authority import Authority, check_new_authority
from province_node.authority.bundle import (
    bundle_digest,
    decode_bundle,
    describe_change,
    missing_signatures,
    verify_content,
)
from province_node.authority.handover import MAX_HANDOVER_BYTES, decode_handover, decode_link, encode_handover
from province_node.authority.request import MAX_REQUEST_BYTES, decode_request
from province_node.cli.option import ask_passphrase, confirm, dir_option, passphrase_option, yes_option

__all__ = ["authority", "passphrase"]


_PASSPHRASE = "passphrase"  # noqa: S105  the name of a file
MAX_BUNDLE_BYTES = 262_144


_key_option = click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A key file to sign with, here or in --dir; as often as you like. Default: every key file in --dir.",
)


@click.group(
    cls=CommandGroup,
    lazy={
        "passphrase": "province_node.cli.authority:passphrase",
    },
    examples="""
    # on the authority's machine, once
    province-node authority init --dir authority-31 --participant 31 --realm cn --keys 3 --threshold 2
    # for each publication: request.json comes from the node, bundle.json goes back
    province-node authority sign --dir authority-31 --request request.json --out bundle.json
    """,
)
def authority() -> None:
    """The province's offline keys: say which keys, CA and endpoints its node has."""


@authority.command(
    examples="""
    province-node authority init --dir authority-31 --participant 31 --realm cn --keys 3 --threshold 2
    province-node authority init --dir authority-31 --participant 31 --realm test-demo --development
    # other people take over: new keys, which the old ones will consent to
    province-node authority init --dir authority-31-new --participant 31 --realm cn --after authority-31/authority.json
    """
)
@dir_option("The authority's folder; made when it is not there.")
@click.option("--participant", "code", required=True, help="Two digits, e.g. 31.")
@click.option("--realm", required=True, help="cn, or test-… for a test realm.")
@click.option("--keys", type=click.IntRange(1, 16), default=3, show_default=True, help="How many keys.")
@click.option(
    "--threshold", type=click.IntRange(1, 16), default=2, show_default=True, help="How many must sign."
)
@click.option(
    "--after",
    "after_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="authority.json of the authority that this one follows, or what `province-node chain` wrote.",
)
@click.option("--development", is_flag=True, help="A test realm: no questions, one passphrase in a file.")
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

    Give each key file to its holder, on a medium of its own, and keep the folder
    itself (authority.json, history) with one of them. None of it goes to the node.
    """
    self_test()
    check_realm(realm)
    check_member(realm, code)
    if development and realm == "cn":
        raise ConfigurationError("--development makes test realms alone, and never cn")
    previous = None
    if after_file is not None:
        data = read_bounded(after_file, MAX_HANDOVER_BYTES)
        previous = decode_link(data, realm=realm, participant=code)
    # before anybody is asked for a passphrase
    check_new_authority(root, keys=keys, threshold=threshold)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if development:
        drawn = secrets.token_urlsafe(24).encode()
        write_private(root / _PASSPHRASE, drawn + b"\n")
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
    print_result(_describe(made), as_json=as_json, table=details)


@authority.command(
    examples="""
    province-node authority sign --dir authority-31 --request request.json --key authority-1.key --key authority-2.key --out bundle.json
    # a second holder, on another machine, adds a signature
    province-node authority sign --dir authority-31 --bundle bundle.json --key /media/stick/authority-3.key --out bundle.json
    """
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
    help="A bundle that lacks signatures.",
)
@_key_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where the bundle goes."
)
@click.option("--replace", is_flag=True, help="Sign a version again with another content.")
@passphrase_option
@yes_option
@json_option
def sign(
    root: Path,
    request_file: Path | None,
    bundle_file: Path | None,
    key_files: tuple[Path, ...],
    out: Path,
    replace: bool,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign a node's request, or add a signature to a bundle, after showing a plain diff."""
    self_test()
    now = SystemClock().now()
    mine = Authority.open(root)
    if (request_file is None) == (bundle_file is None):
        raise click.UsageError("give --request or --bundle, one of them")
    if request_file is not None:
        request = decode_request(read_bounded(request_file, MAX_REQUEST_BYTES))
        bundle = mine.begin(request, now=now, replace=replace)
    else:
        bundle = decode_bundle(read_bounded(bundle_file or Path(), MAX_BUNDLE_BYTES))
    asked = verify_content(bundle)
    console = error_console()
    console.print(
        f"[bold]To sign: participant {bundle.participant}, realm {bundle.realm}, version {asked.version}[/], "
        f"good until {rfc3339(asked.expires)}"
    )
    last = mine.last_completed(before=asked.version)
    if last is None:
        console.print("  nothing was completed in this folder before, so this is all of it")
    else:
        console.print(f"  compared with version {verify_content(last).version}")
    before = None if last is None else verify_content(last)
    for line in describe_change(before, asked) or ["no change, a renewal alone"]:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if (successor := mine.successor) is not None:
        console.print(
            f"[bold red]This authority has handed over to link {successor.seq}[/] (kid {kid(successor.keys[0]).hex()} …): once "
            "that one is admitted, nothing counts that is signed here",
            highlight=False,
            soft_wrap=True,
        )
    digest = f"sha256:{bundle_digest(bundle)}"
    console.print(f"  digest {digest}, the same for every holder", highlight=False, soft_wrap=True)
    keys = _open_keys(root, key_files, passphrase_file, f"Sign {digest}?", yes=yes)
    signed = mine.sign(bundle, keys, now=now, replace=replace)
    data = encode_join_request(signed)
    write_output(out, data)
    missing = missing_signatures(signed)
    result = {
        "bundle": str(out),
        "participant": signed.participant,
        "realm": signed.realm,
        "version": asked.version,
        "signed_by": [kid(key.public).hex() for key in keys],
        "missing_signatures": missing,
        "handed_over_to": None if successor is None else f"link {successor.seq}",
        "digest": digest,
        # the operators compare it at `join`; it is not what it will be while signatures are missing
        "request_digest": join_digest(data) if missing == 0 else None,
        "link_digest": _link_digest(mine),
        "next": _next_of(mine, asked.version, is_first=last is None)
        if missing == 0
        else f"{missing} more: the next holder runs `authority sign --bundle {out} --out {out}`, with a copy of "
        "authority.json in --dir",
    }
    print_result(result, as_json=as_json, table=details)


@authority.command(
    examples="""
    # a holder of the old keys, then the next one, until its threshold is reached
    province-node authority handover --dir authority-31 --to authority-31-new/authority.json --out handover.json
    province-node authority handover --dir authority-31 --to handover.json --key authority-2.key --out handover.json
    """
)
@dir_option("The folder of the authority that hands over.")
@click.option(
    "--to",
    "to_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="authority.json of the new authority, or a handover that lacks consents.",
)
@_key_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where it goes.")
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
    """Consent, as the present authority, to the keys that take its place."""
    self_test()
    mine = Authority.open(root)
    wanted = decode_handover(read_bounded(to_file, MAX_HANDOVER_BYTES))
    console = error_console()
    console.print(f"[bold]To hand over: participant {wanted.participant}, realm {wanted.realm}[/]")
    before, after = wanted.previous, wanted.link
    for line in (
        *(f"- key {kid(key).hex()}" for key in before.keys),
        *(f"+ key {kid(key).hex()}" for key in after.keys),
        f"~ {before.threshold} of {len(before.keys)} sign  becomes  {after.threshold} of {len(after.keys)}",
    ):
        console.print(f"  {line}", markup=False, highlight=False)
    keys = _open_keys(root, key_files, passphrase_file, "Hand over to these keys?", yes=yes)
    signed = mine.hand_over(wanted, keys)
    write_output(out, encode_handover(signed))
    result = {
        "handover": str(out),
        "participant": signed.participant,
        "link": signed.link.seq,
        "signed_by": [kid(key.public).hex() for key in keys],
        "missing_signatures": signed.missing,
        "next": "the new authority: `authority accept --handover FILE`"
        if signed.missing == 0
        else f"{signed.missing} more: the next holder runs `authority handover --to {out} --out {out}`",
    }
    print_result(result, as_json=as_json, table=details)


@authority.command(examples="province-node authority accept --dir authority-31-new --handover handover.json")
@dir_option("The folder of the new authority.")
@click.option(
    "--handover",
    "handover_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="What the authority before signed.",
)
@json_option
def accept(root: Path, handover_file: Path, as_json: bool) -> None:
    """Take a complete handover into the new authority's folder; then it signs as any authority does."""
    self_test()
    mine = Authority.open(root).accept(decode_handover(read_bounded(handover_file, MAX_HANDOVER_BYTES)))
    result = {
        **_describe(mine),
        "next": "sign the node's request: `authority sign --request request.json --out bundle.json`; the node hands it in by `join`",
    }
    print_result(result, as_json=as_json, table=details)


@authority.command(examples="province-node authority show --dir authority-31")
@dir_option("The authority's folder.")
@json_option
def show(root: Path, as_json: bool) -> None:
    """Show whose authority this is and which keys it has."""
    print_result(_describe(Authority.open(root)), as_json=as_json, table=details)


def _open_keys(
    root: Path, key_files: tuple[Path, ...], passphrase_file: Path | None, question: str, *, yes: bool
) -> list[PrivateKey]:
    """Asks, then opens the authority's keys that sign."""
    # a development authority signs without questions: its passphrase lies beside its keys
    default_passphrase = root / _PASSPHRASE
    passphrase_file = passphrase_file or (default_passphrase if default_passphrase.exists() else None)
    paths = [_find_key(root, path) for path in key_files] or sorted(root.glob("*.key"))
    if not paths:
        raise ConfigurationError(f"there is no key file in {root}: name one with --key")
    for path in paths:
        check_secret_file(path, "key file")
    confirm(question, yes=yes or passphrase_file == default_passphrase)
    keys = []
    for path in paths:
        loaded = read_key_file(path, ask_passphrase(passphrase_file, path.name))
        if loaded.info.purpose is not KeyPurpose.AUTHORITY:
            raise ConfigurationError(f"{path} is a key for {loaded.info.purpose}, not of an authority")
        keys.append(loaded.private)
    return keys


def _find_key(root: Path, path: Path) -> Path:
    """A key file as it was named, or of that name in the authority's folder."""
    return path if path.exists() or not (root / path).exists() else root / path


def _next_of(mine: Authority, version: int, *, is_first: bool) -> str:
    """Where a complete bundle goes: an authority that is not admitted yet must be, before it publishes anything."""
    link = mine.document.link
    if version == 1 or (is_first and link.seq > 1):
        return (
            "carry the bundle to the node, and there `province-node join`: nothing of this authority counts before the "
            "operators admitted it"
        )
    return "carry the bundle to the node, and there `province-node publish` (`join` while this authority is not admitted)"


def _link_digest(made: Authority) -> str | None:
    """What stands in the root that consents to this authority, when the one before handed nothing over."""
    document = made.document
    if document.link.seq == 1:
        return None
    digest = link_digest(document.participant, document.link, document.previous)
    return f"{document.participant}/{document.link.seq}: {digest.hex()}"


def _describe(made: Authority) -> dict[str, object]:
    link = made.document.link
    return {
        "participant": made.document.participant,
        "realm": made.document.realm,
        "folder": str(made.folder),
        "link": link.seq,
        "threshold": f"{link.threshold} of {len(link.keys)}",
        "keys": [kid(key).hex() for key in link.keys],
        "created": rfc3339(link.created),
        "link_digest": _link_digest(made),
    }


# --- was province_node/cli/authority_passphrase.py: `province-node authority passphrase`: another passphrase for a holder's key of the authority.


_DEVELOPMENT_FILE = "passphrase"


@authority.command(
    examples="""
    # each holder, for the own key
    province-node authority passphrase --key /media/stick/authority-1.key
    # every key of a rehearsal, which have one passphrase in a file beside them
    province-node authority passphrase --dir authority-31 --new-passphrase-file new
    """
)
@dir_option("The authority's folder, for a rehearsal's keys all together.")
@click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Your key file; as often as you like.",
)
@passphrase_option
@new_passphrase_option
@json_option
def passphrase(
    root: Path,
    key_files: tuple[Path, ...],
    passphrase_file: Path | None,
    new_passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Change the passphrase of an authority's key.

    It needs the present one. One whose passphrase is lost is lost: while the others reach the
    threshold they hand over to new keys; when they do not, see `join --lost-authority`.
    """
    self_test()
    beside = root / _DEVELOPMENT_FILE
    together = not key_files
    if together and not beside.exists():
        raise InvalidInputError("name your key file with --key: each holder has a passphrase of their own")
    paths = sorted(root.glob("*.key")) if together else list(key_files)
    for path in paths:
        info = read_key_info(path)
        if info.purpose is not KeyPurpose.AUTHORITY:
            raise ConfigurationError(f"{path} is a key for {info.purpose}, not of an authority")
    label = ", ".join(path.name for path in paths)
    # the keys of a rehearsal have one passphrase, in a file beside them
    rehearsal = [path.parent / _DEVELOPMENT_FILE for path in paths]
    old = old_passphrase(passphrase_file or next((each for each in rehearsal if each.exists()), None), label)
    new = new_passphrase(new_passphrase_file, label)
    changed = change_passphrase(paths, old, new)
    if together:
        replace_passphrase_file(beside, new)
    print_result(
        say_changed(paths, changed, "lock or destroy the old copies of the file"),
        as_json=as_json,
        table=details,
    )
