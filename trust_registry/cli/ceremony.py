"""`init`: founds a realm in a ceremony, or begins its founding by cards."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from healthcode.cli.console import Command, json_option, print_result
from healthcode.cli.parameter import ADDRESS, ENDPOINT, metrics_option
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.policy.book_file import default_policy_bytes
from healthcode.policy.levels_policy import levels_policy_bytes
from healthcode.policy.lint.policy_lint import check_policy
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.owner import as_caller
from healthcode.trust.format.json_files import ServiceEntry
from trust_registry.cli.carried_proposal import describe_carried_proposal
from trust_registry.cli.ceremony_prompts import (
    KeyHolderPrompt,
    ask_signature,
    development_key_holder,
    sign_without_asking,
)
from trust_registry.cli.describe import describe_table
from trust_registry.cli.founding import begin_founding
from trust_registry.cli.option import dir_option
from trust_registry.founding.by_cards import next_commands
from trust_registry.founding.ceremony import CeremonyResult, hold_ceremony
from trust_registry.founding.plan import FoundingPlan, KeyHolder, check_folder_is_new, check_thresholds
from trust_registry.layout import RegistryFolder
from trust_registry.settings import METRICS_LISTEN

__all__ = ["init"]


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of `init` that describe the realm."""

    realm: str
    roots: int | None
    root_threshold: int | None
    operators: int | None
    operator_threshold: int | None
    development: bool
    listen: str
    public_listen: str
    metrics_listen: str | None
    endpoint: str | None
    public_endpoint: str | None
    gateway_ca: Path | None
    gateway_endpoint: str | None
    policy: Path | None
    derive_levels: bool | None

    def counts(self) -> tuple[int, int, int, int]:
        """Root holders and how many must sign, operators and how many must sign."""
        defaults = (1, 1, 2, 2) if self.development else (5, 3, 3, 2)
        given = (self.roots, self.root_threshold, self.operators, self.operator_threshold)
        roots, root_threshold, operators, operator_threshold = (
            value or default for value, default in zip(given, defaults, strict=True)
        )
        return roots, root_threshold, operators, operator_threshold

    def plan(self, ask: Callable[[KeyPurpose, str], KeyHolder] | None) -> FoundingPlan:
        """The plan; `ask` makes each key holder, None leaves them to the cards."""
        roots, root_threshold, operators, operator_threshold = self.counts()
        # read first: ask for no name or passphrase while a file is wrong
        policy, gateway = (
            _read_policy(self.policy, derive_levels=self.derive_levels),
            _gateway(self.gateway_ca, self.gateway_endpoint),
        )
        return FoundingPlan(
            realm=self.realm,
            roots=_key_holders(ask, KeyPurpose.ROOT, "root", roots),
            root_threshold=root_threshold,
            operators=_key_holders(ask, KeyPurpose.OPERATOR, "operator", operators),
            operator_threshold=operator_threshold,
            development=self.development,
            policy=policy,
            listen=self.listen,
            public_listen=self.public_listen,
            metrics_listen=self.metrics_listen,
            endpoint=self.endpoint or self.listen,
            public_endpoint=self.public_endpoint or self.public_listen,
            gateway=gateway,
        )


@click.command(
    cls=Command,
    examples="""
    # a real ceremony: asks each key holder for name and passphrase, and shows what they sign
    trust-registry init --dir registry --realm cn --roots 5 --root-threshold 3 --operators 3 --operator-threshold 2
    # a test realm, without questions
    trust-registry init --dir registry --realm test-demo --development
    # by carried files: each key holder made a key with `trust-registry key new` and brought its card
    trust-registry init --dir registry --realm cn --root-threshold 2 --operator-threshold 2 \\
        --card root-1.card.json --card root-2.card.json --card root-3.card.json \\
        --card operator-1.card.json --card operator-2.card.json --out founding.json
    # with a gateway from the start
    trust-registry init --dir registry --realm test-demo --development \\
        --gateway-ca gateway/tls/ca.pem --gateway-endpoint 127.0.0.1:7445
    """,
)
@dir_option
@click.option("--realm", required=True, help="cn, or test-NAME.")
@click.option("--roots", type=click.IntRange(1, 16), help="How many people keep a root key.")
@click.option("--root-threshold", type=click.IntRange(1, 16), help="How many of them must sign.")
@click.option("--operators", type=click.IntRange(1, 16), help="How many operators there are.")
@click.option("--operator-threshold", type=click.IntRange(1, 16), help="How many of them must sign.")
@click.option(
    "--card",
    "cards",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Card of a key holder, once for each. Key holders then sign on their own machines.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --card: where to write the file to carry.",
)
@click.option("--development", is_flag=True, help="Ask nothing and make weak keys; for test realms only.")
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
@metrics_option(METRICS_LISTEN)
@click.option("--endpoint", type=ENDPOINT, help="Where others reach --listen, if it differs.")
@click.option("--public-endpoint", type=ENDPOINT, help="Where others reach --public-listen, if it differs.")
@click.option("--gateway-ca", type=click.Path(path_type=Path, dir_okay=False), help="The gateway's CA, PEM.")
@click.option("--gateway-endpoint", type=ENDPOINT, help="Where the gateway is reached.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Begin with this policy/national.json.",
)
@click.option(
    "--derive-levels/--stated-levels",
    default=None,
    help="Without --policy: the first national policy that derives levels from evidence (the default), or the one "
    "under which each province states its levels.",
)
@json_option
def init(
    folder: Path,
    cards: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Found a realm in a ceremony: make the keys, root, the first trust files and the configuration."""
    given = _Options(**options)
    if cards:
        if given.roots or given.operators:
            raise InvalidInputError(
                "the cards say who the key holders are: leave out --roots and --operators"
            )
        data = begin_founding(given.plan(None), cards, folder, out)
        print_result(data, as_json=as_json, table=describe_table)
        return
    roots, root_threshold, operators, operator_threshold = given.counts()
    check_thresholds(
        given.realm,
        development=given.development,
        roots=(roots, root_threshold),
        operators=(operators, operator_threshold),
    )
    place = RegistryFolder(folder)
    check_folder_is_new(place)
    plan = given.plan(
        development_key_holder(secrets.token_urlsafe(24)) if given.development else KeyHolderPrompt()
    )
    confirm = sign_without_asking if given.development else ask_signature
    result = hold_ceremony(plan, place, SystemClock(), confirm=confirm)
    data = {
        "realm": result.realm,
        "state": "OPEN" if result.fingerprint is None else "FOUNDED",
        "root_fingerprint": result.fingerprint,
        "ca_certificate": str(result.ca_certificate),
        "carry_away": [str(path) for path in result.carry_away],
    }
    if result.fingerprint is None:
        data |= describe_carried_proposal(result.carried) | {
            "file": str(place.founding),
            "next": next_commands(place),
        }
        print_result(data, as_json=as_json, table=describe_table)
        return
    print_result(data, as_json=as_json, table=lambda _: _tell(result, folder, development=given.development))


def _key_holders(
    ask: Callable[[KeyPurpose, str], KeyHolder] | None, purpose: KeyPurpose, name: str, count: int
) -> list[KeyHolder]:
    return [] if ask is None else [ask(purpose, f"{name}-{number}") for number in range(1, count + 1)]


def _read_policy(path: Path | None, *, derive_levels: bool | None) -> bytes:
    if path is None:
        return default_policy_bytes() if derive_levels is False else levels_policy_bytes()
    if derive_levels is not None:
        raise InvalidInputError(
            "--policy says how levels are made: leave out --derive-levels and --stated-levels"
        )
    try:
        with as_caller():
            data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    check_policy(data)
    return data


def _gateway(ca: Path | None, endpoint: str | None) -> ServiceEntry | None:
    if ca is None and endpoint is None:
        return None
    if ca is None or endpoint is None:
        raise InvalidInputError("give --gateway-ca and --gateway-endpoint together")
    with as_caller():
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
                f"This is a test realm. All keys and their passphrase are in {folder / 'ceremony'}; nothing is safe."
            )
        )
    else:
        parts.append(
            Text("These files must now leave this machine, each with its key holder:", style="bold yellow")
        )
        parts += [Text(f"  {path}") for path in result.carry_away]
        parts.append(
            Text("Copy each to its key holder's medium, check that it opens there, then remove it here.")
        )
    parts.append(
        Text(
            f"Next: trust-registry check --dir {folder}, then trust-registry serve --dir {folder}",
            style="dim",
        )
    )
    return Group(*parts)
