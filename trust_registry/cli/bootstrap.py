"""`propose bootstrap`: root begins anew, and what everybody must know before and after."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from healthcode.cli.console import Command, error_console, json_option
from healthcode.errors import InvalidInputError, Reason
from healthcode.signing.purpose import KeyPurpose
from trust_registry.cli.option import dir_option, open_reading
from trust_registry.cli.propose import print_proposal
from trust_registry.proposals.key_holders import find_holder, holder_names, note_holders, read_card
from trust_registry.proposals.new_bootstrap import BootstrapPlan, check_plan, draft_bootstrap
from trust_registry.registry import Registry

__all__ = ["propose_bootstrap"]


@click.command(
    "bootstrap",
    cls=Command,
    examples="""
    # two of three root holders are lost, and two must sign: nobody can name others any more.
    # the new holders made keys with `trust-registry key new root` and brought their cards
    trust-registry propose bootstrap --lost root-1 --lost root-2 --reason "fire at the archive, 3 May" \\
        --card root-5.card.json --card root-6.card.json --card root-7.card.json --root-threshold 2 --out anew.json
    # each new holder: `trust-registry sign anew.json --key root-5.key`; then here
    trust-registry collect anew.json
    """,
)
@click.option(
    "--lost", multiple=True, required=True, help="Name, or first digits of the key, of a holder who is lost."
)
@click.option("--reason", required=True, help="What happened, for those who sign.")
@click.option(
    "--card",
    "cards",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Card of a new root holder, or of an operator if those change too; as often as you like.",
)
@click.option(
    "--root-threshold", type=click.IntRange(1, 16), required=True, help="How many root holders must sign."
)
@click.option(
    "--operator-threshold", type=click.IntRange(1, 16), help="With operators' cards: how many must sign."
)
@click.option(
    "--although", metavar="WHY", help="Why it must be, although enough of root's keys seem to be left."
)
@click.option("--realm", help="The realm's name, instead of typing it when asked; for rehearsals.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there, to be carried.")
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
    """Propose that root begins anew, when too few of its keys are left to sign.

    The last resort: no node, gateway or verifier takes it by itself. Each refuses it as it
    refuses an attack, and goes on with what it holds until a person there adopts it by the
    new root's fingerprint.
    """
    registry = open_reading(folder)
    published = registry.repository.published()
    names = holder_names(registry.folder)
    come = [read_card(path, realm=registry.settings.realm) for path in cards]
    plan = BootstrapPlan(
        lost=[find_holder(published.root.signed, "root", each, names) for each in dict.fromkeys(lost)],
        root_keys=[card.public for card in come if card.purpose == KeyPurpose.ROOT.value],
        root_threshold=root_threshold,
        reason=reason,
        operator_keys=[card.public for card in come if card.purpose == KeyPurpose.OPERATOR.value],
        operator_threshold=operator_threshold,
        although=although,
    )
    check_plan(plan, published)
    if not as_json:
        _warn(registry)
    _ask_realm(registry.settings.realm, realm)
    proposal = draft_bootstrap(registry.repository, registry.proposals, plan)
    note_holders(registry.folder, {card.keyid: card.name for card in come})
    print_proposal(registry, proposal, as_json=as_json, out=out)


def _warn(registry: Registry) -> None:
    participants = registry.repository.published().participants
    who = [f"the node of participant {code}" for code in sorted(participants.participants)]
    who += [f"the {name}" for name in sorted(participants.services) if name != "registry"]
    console = error_console()
    console.rule("[bold red]this is no rotation")
    told = f"""\
Once it is published, nobody follows this registry by itself any more:
  {", ".join([*who, "every verifier that follows a mirror"])}
Each refuses the new root as an attack (ROOT_REPLACED) and goes on with what it holds. What is revoked or \
published from then on does not reach it, and its verdicts end as STALE_TRUST, until a person there has the new \
fingerprint from you, by another way than the network, and runs `rebootstrap`.
So have people ready to call each of them before the last signature is collected. It cannot be taken back."""
    console.print(Text(told), soft_wrap=True)


def _ask_realm(realm: str, given: str | None) -> None:
    typed = (
        given
        if given is not None
        else click.prompt("If that is what you want, type the realm's name", err=True)
    )
    if typed.strip() != realm:
        raise InvalidInputError(
            f"{typed.strip()!a} is not the realm of this registry: nothing was proposed",
            reason=Reason.REALM_MISMATCH,
        )
