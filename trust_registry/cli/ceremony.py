"""Founding a realm."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from healthcode.cli.console import Command, details, error_console, json_option, print_result
from healthcode.cli.parameter import ADDRESS, ENDPOINT
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.signing.passphrase import MIN_PASSPHRASE_CHARACTERS, check_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata_fields import bootstraps_in
from healthcode.trust.verify.roots import root_fingerprint, spoken_fingerprint
from trust_registry.cli.describe import carried_from, describe_carried, describe_table
from trust_registry.cli.option import dir_option, open_reading, show_changes
from trust_registry.founding import by_cards
from trust_registry.founding.ceremony import (
    CeremonyPlan,
    CeremonyResult,
    Holder,
    SigningStep,
    check_place,
    check_shape,
    hold_ceremony,
)
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.in_force import encode_carried
from trust_registry.proposals.key_holders import read_card

__all__ = ["begin_founding", "collect_founding", "fingerprint", "init", "tell_founding"]


_DEFAULTS = {True: (1, 1, 2, 2), False: (5, 3, 3, 2)}


@click.command(
    cls=Command,
    examples="""
    # a real ceremony: asks each holder for name and passphrase, shows what each signs
    trust-registry init --dir registry --realm cn --roots 5 --root-threshold 3 --operators 3 --operator-threshold 2
    # a test realm, without questions
    trust-registry init --dir registry --realm test-demo --development
    # over files: each holder made a key with `trust-registry key new` and brought its card
    trust-registry init --dir registry --realm cn --root-threshold 2 --operator-threshold 2 \\
        --card root-1.card.json --card root-2.card.json --card root-3.card.json \\
        --card operator-1.card.json --card operator-2.card.json --out founding.json
    # with the gateway known from the start
    trust-registry init --dir registry --realm test-demo --development \\
        --gateway-ca gateway/tls/ca.pem --gateway-endpoint 127.0.0.1:7445
    """,
)
@dir_option
@click.option("--realm", required=True, help="cn, or test-NAME.")
@click.option("--roots", type=click.IntRange(1, 16), help="How many people hold a root key.")
@click.option("--root-threshold", type=click.IntRange(1, 16), help="How many of them must sign.")
@click.option("--operators", type=click.IntRange(1, 16), help="How many operators there are.")
@click.option("--operator-threshold", type=click.IntRange(1, 16), help="How many of them must sign.")
@click.option(
    "--card",
    "cards",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Card of a holder; with cards nobody comes to this keyboard, and the signatures are collected.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="With --card: the file to be carried."
)
@click.option("--development", is_flag=True, help="Ask nothing; weak keys, for test realms alone.")
@click.option(
    "--listen",
    type=ADDRESS,
    default="127.0.0.1:7443",
    show_default=True,
    help="mTLS, for provinces and gateway.",
)
@click.option(
    "--public-listen", type=ADDRESS, default="127.0.0.1:7444", show_default=True, help="TLS, for everybody."
)
@click.option("--metrics-listen", type=ADDRESS, help="Where Prometheus reads /metrics, e.g. 127.0.0.1:9464.")
@click.option("--endpoint", type=ENDPOINT, help="Where others reach --listen, when it differs.")
@click.option("--public-endpoint", type=ENDPOINT, help="Where others reach --public-listen, when it differs.")
@click.option("--gateway-ca", type=click.Path(path_type=Path, dir_okay=False), help="The gateway's CA, PEM.")
@click.option("--gateway-endpoint", type=ENDPOINT, help="Where the gateway is reached.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="policy/national.json; the default if left out.",
)
@json_option
def init(
    folder: Path,
    realm: str,
    roots: int | None,
    root_threshold: int | None,
    operators: int | None,
    operator_threshold: int | None,
    cards: tuple[Path, ...],
    out: Path | None,
    development: bool,
    listen: str,
    public_listen: str,
    metrics_listen: str | None,
    endpoint: str | None,
    public_endpoint: str | None,
    gateway_ca: Path | None,
    gateway_endpoint: str | None,
    policy: Path | None,
    as_json: bool,
) -> None:
    """Hold the ceremony that founds a realm: keys, root, the first trust files, the configuration."""
    counts = zip((roots, root_threshold, operators, operator_threshold), _DEFAULTS[development], strict=True)
    root_count, root_least, operator_count, operator_least = (given or default for given, default in counts)
    if not cards:
        check_shape(
            realm,
            development=development,
            roots=(root_count, root_least),
            operators=(operator_count, operator_least),
        )
    elif roots or operators:
        raise InvalidInputError("the cards say who the holders are: leave out --roots and --operators")
    # all that can be wrong is found before anybody is asked for a name or a passphrase
    if not cards:
        check_place(RegistryFolder(folder))
    national_policy, gateway = _read_policy(policy), _gateway(gateway_ca, gateway_endpoint)
    ask = _nobody(secrets.token_urlsafe(24)) if development else _Desk()
    plan = CeremonyPlan(
        realm=realm,
        roots=[]
        if cards
        else [ask(KeyPurpose.ROOT, f"root-{number}") for number in range(1, root_count + 1)],
        root_threshold=root_least,
        operators=[]
        if cards
        else [ask(KeyPurpose.OPERATOR, f"operator-{number}") for number in range(1, operator_count + 1)],
        operator_threshold=operator_least,
        development=development,
        policy=national_policy,
        listen=listen,
        public_listen=public_listen,
        metrics_listen=metrics_listen,
        endpoint=endpoint or listen,
        public_endpoint=public_endpoint or public_listen,
        gateway=gateway,
    )
    if cards:
        print_result(begin_founding(plan, cards, folder, out), as_json=as_json, table=describe_table)
        return
    confirm = _say_yes if development else _ask_signature
    result = hold_ceremony(plan, RegistryFolder(folder), SystemClock(), confirm=confirm)
    data = {
        "realm": result.realm,
        "state": "OPEN" if result.fingerprint is None else "FOUNDED",
        "root_fingerprint": result.fingerprint,
        "ca_certificate": str(result.ca_certificate),
        "carry_away": [str(path) for path in result.carry_away],
    }
    if result.fingerprint is None:
        file = RegistryFolder(folder).founding
        data |= describe_carried(result.waiting) | {
            "file": str(file),
            "next": f"each who is missing: `trust-registry sign {file} --key KEY`, here or on a machine of their own; "
            f"then `trust-registry collect {file} --dir {folder}`",
        }
        print_result(data, as_json=as_json, table=describe_table)
        return
    print_result(data, as_json=as_json, table=lambda _: _tell(result, folder, development=development))


@click.command(cls=Command, examples="trust-registry fingerprint --dir registry")
@dir_option
@json_option
def fingerprint(folder: Path, as_json: bool) -> None:
    """Print the fingerprints of all roots: what a node is told when its trust folder begins.

    `read_out` is the newest in groups, for the telephone. Where root began anew, older ones
    begin nothing any more; `began_anew` names the first that does.
    """
    registry = open_reading(folder)
    tree = registry.repository.tree
    found = {
        f"root_{version}": root_fingerprint(tree.read(metadata_file("root", version)))
        for version in range(1, tree.root_version() + 1)
    }
    found["read_out"] = spoken_fingerprint(found[f"root_{tree.root_version()}"])
    if anew := bootstraps_in(registry.repository.published().root.signed):
        found["began_anew"] = f"root_{max(map(int, anew))}"
    print_result(found, as_json=as_json, table=details)


def _nobody(passphrase: str) -> Callable[[KeyPurpose, str], Holder]:
    """Holders of a development ceremony: one passphrase, which lies beside the keys."""
    return lambda purpose, key_name: Holder(purpose, key_name, key_name, passphrase.encode())


class _Desk:
    """Where holders come to the keyboard, one after another; it knows who was there."""

    def __init__(self) -> None:
        self._seen: set[tuple[KeyPurpose, str]] = set()

    def __call__(self, purpose: KeyPurpose, key_name: str) -> Holder:
        what = "root key" if purpose is KeyPurpose.ROOT else "operator's key"
        error_console().rule(f"{key_name}: the holder of this {what} comes to the keyboard")
        while True:
            person = click.prompt("Your name", err=True).strip()
            if person and (purpose, person.casefold()) not in self._seen:
                break
            click.echo(f"{person} holds another {what} already: each is held by another person", err=True)
        self._seen.add((purpose, person.casefold()))
        while True:
            passphrase = click.prompt(
                f"Your passphrase, {MIN_PASSPHRASE_CHARACTERS} characters or more, known to nobody else",
                hide_input=True,
                confirmation_prompt="The same once more",
                err=True,
            )
            try:
                check_passphrase(passphrase)
            except InvalidInputError as error:
                click.echo(error.message, err=True)
                continue
            return Holder(purpose, key_name, person, passphrase.encode())


def _ask_signature(step: SigningStep) -> bool:
    """Shows everything to the first, and asks each; a no, or a keyboard that is left, is no signature."""
    proposal, holder = step.proposal, step.holder
    if step.is_first:
        error_console().rule(f"What is signed: {proposal.title}")
        show_changes(proposal.title, list(step.changes), names=step.names, digest=proposal.digest)
    paper = "root.json" if holder.purpose is KeyPurpose.ROOT else "targets.json"
    try:
        return click.confirm(
            f"{holder.person} ({holder.key_name}): do you sign {paper}, sha256:{proposal.digest}?", err=True
        )
    except click.Abort:
        click.echo("not signed", err=True)
        return False


def _say_yes(_: SigningStep) -> bool:
    """A development ceremony asks nobody."""
    return True


def _read_policy(path: Path | None) -> bytes:
    if path is None:
        return default_policy_bytes()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    decode_policy(data)
    return data


def _gateway(ca: Path | None, endpoint: str | None) -> ServiceEntry | None:
    if ca is None and endpoint is None:
        return None
    if ca is None or endpoint is None:
        raise InvalidInputError("--gateway-ca and --gateway-endpoint belong together")
    return ServiceEntry(ca_pem=load_ca(ca), endpoint=endpoint)


def _tell(result: CeremonyResult, folder: Path, *, development: bool) -> Group:
    parts: list[RenderableType] = [
        Panel(
            Text(result.fingerprint or "", style="bold"),
            title=f"Root of realm {result.realm}: tell every node this fingerprint",
        )
    ]
    if development:
        parts.append(
            Text(
                f"A test realm. Holders' keys and their passphrase lie in {folder / 'ceremony'}; nothing is safe."
            )
        )
    else:
        parts.append(
            Text("These files must now leave this machine, each with its holder:", style="bold yellow")
        )
        parts += [Text(f"  {path}") for path in result.carry_away]
        parts.append(Text("Copy each to its holder's medium, see that it opens there, then remove it here."))
    parts.append(
        Text(
            f"Next: trust-registry check --dir {folder}, then trust-registry serve --dir {folder}",
            style="dim",
        )
    )
    return Group(*parts)


# --- was trust_registry/cli/founding.py: Founding by cards and carried files, for `init` and `collect`.


def begin_founding(
    plan: CeremonyPlan, cards: Sequence[Path], folder: Path, out: Path | None
) -> dict[str, Any]:
    """Drafts the first root from the cards, and writes the file that is carried."""
    place = RegistryFolder(folder)
    carried = by_cards.prepare_founding(
        plan, [read_card(path, realm=plan.realm) for path in cards], place, SystemClock()
    )
    file = out or place.ceremony / "founding.json"
    if out is not None:
        save_file(out, encode_carried(carried))
    return {
        **describe_carried(carried),
        "file": str(file),
        "next": f"each holder: `trust-registry sign FILE --key KEY`; then here `trust-registry collect {file.name}`",
    }


def collect_founding(files: Sequence[Path], folder: Path) -> dict[str, Any] | None:
    """Takes signatures for a realm that is being founded; None when none is, in this folder."""
    place = RegistryFolder(folder)
    if not by_cards.is_being_founded(place):
        return None
    found = by_cards.collect_founding(place, [carried_from(str(path)) for path in files], SystemClock())
    data = {**describe_carried(found.carried), "taken": list(found.taken)}
    if found.fingerprint is not None:
        data |= {"state": "FOUNDED", "root_fingerprint": found.fingerprint}
        data["next"] = (
            "tell every node the root fingerprint, by a way of its own; carry tls/ca.key away; then `check` and `serve`"
        )
    return data


def tell_founding(folder: Path, *, as_json: bool) -> bool:
    """Tells who has signed, and who is missing, of a realm that is being founded in `folder`; False when none is."""
    place = RegistryFolder(folder)
    if not by_cards.is_being_founded(place):
        return False
    data = describe_carried(by_cards.open_founding(place))
    data |= {"state": "BEING FOUNDED", "file": str(place.founding), "next": by_cards.next_of(place)}
    print_result(data, as_json=as_json, table=describe_table)
    return True
