"""`propose bootstrap`: restarts root under other keys, after a warning of its consequences."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from healthcode.cli.console import Command, error_console, json_option
from healthcode.errors import InvalidInputError, Reason
from healthcode.signing.purpose import KeyPurpose
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.cli.propose import print_proposal
from trust_registry.proposals.key_holders import (
    find_key_holder,
    key_holder_names,
    note_key_holders,
    read_card,
)
from trust_registry.proposals.new_bootstrap import BootstrapPlan, check_bootstrap_plan, draft_bootstrap
from trust_registry.registry import Registry

__all__ = ["propose_bootstrap"]


@click.command(
    "bootstrap",
    cls=Command,
    examples="""
    # two of three root holders are lost, and two must sign: the one who is left cannot replace them.
    # the new root holders made keys with `trust-registry key new root` and brought their cards
    trust-registry propose bootstrap --lost root-1 --lost root-2 --reason "fire at the archive, 3 May" \\
        --card root-5.card.json --card root-6.card.json --card root-7.card.json --root-threshold 2 --out anew.json
    # each new root holder: `trust-registry sign anew.json --key root-5.key`; then here
    trust-registry collect anew.json
    """,
)
@click.option(
    "--lost", multiple=True, required=True, help="Name of a lost key holder, or first digits of the key id."
)
@click.option("--reason", required=True, help="What happened; every signer sees it.")
@click.option(
    "--card",
    "cards",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Card of a new root holder, or of a new operator if those change too; once for each.",
)
@click.option(
    "--root-threshold", type=click.IntRange(1, 16), required=True, help="How many root holders must sign."
)
@click.option(
    "--operator-threshold", type=click.IntRange(1, 16), help="With operators' cards: how many must sign."
)
@click.option(
    "--although", metavar="WHY", help="Why this is needed although enough root keys seem to be left."
)
@click.option("--realm", help="The realm's name, instead of typing it when asked; for rehearsals.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the file to carry."
)
@dir_option
@json_option
def propose_bootstrap(
    lost: tuple[str, ...],
    reason: str,
    cards: tuple[Path, ...],
    root_threshold: int,
    operator_threshold: int | None,
    although: str | None,
    realm: str | None,
    out: Path | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Propose to restart root under other keys, because too few of the old ones are left to sign.

    The last resort: every node, gateway and verifier refuses the new root like an attack, and keeps
    its old trust files until a person there adopts the new root by its fingerprint.
    """
    registry = open_reading(folder)
    published = registry.repository.published()
    names = key_holder_names(registry.folder)
    new_cards = [read_card(path, realm=registry.settings.realm) for path in cards]
    plan = BootstrapPlan(
        lost=[find_key_holder(published.root.signed, "root", each, names) for each in dict.fromkeys(lost)],
        root_keys=[card.public for card in new_cards if card.purpose == KeyPurpose.ROOT.value],
        root_threshold=root_threshold,
        reason=reason,
        operator_keys=[card.public for card in new_cards if card.purpose == KeyPurpose.OPERATOR.value],
        operator_threshold=operator_threshold,
        although=although,
    )
    check_bootstrap_plan(plan, published)
    if not as_json:
        _warn(registry)
    _ask_realm(registry.settings.realm, realm)
    proposal = draft_bootstrap(registry.repository, registry.proposals, plan)
    note_key_holders(registry.folder, {card.keyid: card.name for card in new_cards})
    print_proposal(registry, proposal, as_json=as_json, out=out)


def _warn(registry: Registry) -> None:
    participants = registry.repository.published().participants
    who = [f"the node of participant {code}" for code in sorted(participants.participants)]
    who += [f"the {name}" for name in sorted(participants.services) if name != "registry"]
    console = error_console()
    console.rule("[bold red]this is no rotation")
    told = f"""\
Once it is published, these no longer follow this registry automatically:
  {", ".join([*who, "every verifier that follows a mirror"])}
Each refuses the new root as an attack (ROOT_REPLACED) and keeps its old trust files. Later revocations and \
publications do not reach it, and its verdicts become STALE_TRUST, until a person there gets the new fingerprint \
from you, by another way than the network, and runs `rebootstrap`.
Have people ready to call each of them before the last signature is collected. This cannot be taken back."""
    console.print(Text(told), soft_wrap=True)


def _ask_realm(realm: str, given: str | None) -> None:
    typed = given if given is not None else click.prompt("If you want this, type the realm's name", err=True)
    if typed.strip() != realm:
        raise InvalidInputError(
            f"{typed.strip()!a} is not the realm of this registry: nothing was proposed",
            reason=Reason.REALM_MISMATCH,
        )
