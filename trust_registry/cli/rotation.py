"""`key new` and proposals that change keys: a key holder's new key, other key holders, other online keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast

import click

from healthcode.cli.console import CommandGroup, details, json_option, print_result
from healthcode.clock import SystemClock
from healthcode.errors import InvalidInputError
from healthcode.identity.realm import check_realm, is_test_realm
from healthcode.signing.ed25519 import PrivateKey, self_test
from healthcode.signing.keyfile import Cost, create_key_file
from healthcode.signing.passphrase import check_passphrase, read_passphrase
from healthcode.signing.purpose import KeyPurpose
from trust_registry.cli.admission import find_join
from trust_registry.cli.option import dir_option, given_passphrase, open_reading, passphrase_option
from trust_registry.cli.propose import print_proposal, propose
from trust_registry.proposals.key_changes import (
    KeyHolderChange,
    draft_areas_key,
    draft_key_holders,
    draft_online_key,
    draft_reonboarding,
)
from trust_registry.proposals.key_holders import (
    find_key_holder,
    key_holder_names,
    make_card,
    note_key_holders,
    read_card,
    write_card,
)
from trust_registry.proposals.proposal import Proposal
from trust_registry.registry import Registry
from trust_registry.tree.online_keys import create_next_key

__all__ = ["key"]

_PERSONAL = {"root": KeyPurpose.ROOT, "operator": KeyPurpose.OPERATOR}
_ONLINE = {
    "snapshot": KeyPurpose.SNAPSHOT,
    "timestamp": KeyPurpose.TIMESTAMP,
    "areas": KeyPurpose.AREAS,
}


@click.group(cls=CommandGroup, lazy={"passphrase": "trust_registry.cli.passphrase:passphrase"})
def key() -> None:
    """Make a key holder's key on their own machine, or change a passphrase."""


@key.command(
    "new",
    examples="""
    # on the key holder's machine, without a network: root-6.key stays, root-6.card.json is carried
    trust-registry key new root --realm cn --name root-6 --out /media/holder
    """,
)
@click.argument("kind", type=click.Choice(sorted(_PERSONAL)))
@click.option("--realm", required=True, help="cn, or test-NAME.")
@click.option("--name", required=True, help="Name of the key, e.g. root-6; shown with its first digits.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for the key file and the card; the current folder if left out.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of mode 0600 with the passphrase; you are asked if left out.",
)
@click.option("--development", is_flag=True, help="Weak encryption that opens fast; for test realms only.")
@json_option
def new(
    kind: str,
    realm: str,
    name: str,
    out: Path,
    passphrase_file: Path | None,
    development: bool,
    as_json: bool,
) -> None:
    """Make a root holder's or operator's key, and the card that introduces it to the registry."""
    self_test()
    check_realm(realm)
    if development and not is_test_realm(realm):
        raise InvalidInputError(f"--development makes keys for test realms only, not for {realm}")
    if not name.isprintable() or "/" in name or not name.strip():
        raise InvalidInputError(f"{name!a} cannot name a key: use a name like root-6")
    passphrase = read_passphrase(passphrase_file, prompt=_ask_new_passphrase)
    check_passphrase(passphrase.decode(), name)
    out.mkdir(parents=True, exist_ok=True)
    private = PrivateKey.generate()
    create_key_file(
        out / f"{name}.key",
        private,
        passphrase,
        purpose=_PERSONAL[kind],
        realm=realm,
        name=name,
        created=SystemClock().now(),
        cost="development" if development else "production",
    )
    card = make_card(private, realm=realm, purpose=_PERSONAL[kind], name=name)
    write_card(out / f"{name}.card.json", card)
    result = {
        "key": str(out / f"{name}.key"),
        "card": str(out / f"{name}.card.json"),
        "key_id": card.keyid,
        "next": "keep the key; carry the card to the registry, and read the key id out to those who sign",
    }
    print_result(result, as_json=as_json, table=details)


def _ask_new_passphrase() -> str:
    answer: str = click.prompt(
        "Your passphrase; tell it to nobody",
        hide_input=True,
        confirmation_prompt="The same once more",
        err=True,
    )
    return answer


@propose.command(
    "rotation",
    examples="""
    # root-6 replaces root-2; the old and the new root holders sign, both at their threshold
    trust-registry propose rotation root --remove root-2 --add root-6.card.json --out proposal.json
    # root holders sign the new root, the new operators sign targets again, in one file
    trust-registry propose rotation operators --remove operator-1 --add operator-4.card.json --out proposal.json
    # an online key: a new one is made here, and is used once root names it
    trust-registry propose rotation timestamp --out proposal.json
    """,
)
@click.argument("who", type=click.Choice(["root", "operators", *_ONLINE]))
@click.option(
    "--add",
    "cards",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Card of a new key holder; once for each.",
)
@click.option(
    "--remove", multiple=True, help="Name of a key holder who leaves, or first digits of the key id."
)
@click.option("--threshold", type=click.IntRange(1, 16), help="How many must sign from then on.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the file to carry."
)
@dir_option
@passphrase_option
@json_option
def propose_rotation(
    who: str,
    cards: tuple[Path, ...],
    remove: tuple[str, ...],
    threshold: int | None,
    out: Path | None,
    folder: Path,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Propose other root holders, other operators, or another online key."""
    registry = open_reading(folder)
    if who in _ONLINE:
        if cards or remove or threshold:
            raise InvalidInputError(
                f"the {who} key is made here: --add, --remove and --threshold are for root holders and operators"
            )
        proposal = _propose_online_key(registry, who, passphrase_file)
    else:
        proposal = _propose_key_holders(
            registry, cast('Literal["root", "operators"]', who), cards, remove, threshold
        )
    print_proposal(registry, proposal, as_json=as_json, out=out)


@propose.command(
    "reonboarding",
    examples="""
    # a province lost its authority, and its node requested a new one without handover
    trust-registry joins
    trust-registry propose reonboarding 31 --out proposal.json
    # the root holders sign; then the operators `approve 31`
    """,
)
@click.argument("request", metavar="REQUEST")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the file to carry."
)
@dir_option
@json_option
def propose_reonboarding(request: str, out: Path | None, folder: Path, as_json: bool) -> None:
    """Propose that root consents to the new authority of a province that lost its own.

    REQUEST is as with `approve`. Call the province over a line that you trust, and have the digest
    read out: no other way replaces a province's authority without its own signature. Every node
    shows the change and waits 72 hours.
    """
    registry = open_reading(folder)
    join = find_join(registry, request)
    published = registry.repository.published()
    if not join.needs_root(published):
        raise InvalidInputError(
            f"{join.title} does not need root's consent: its authority has a handover or root's consent, or is its first"
        )
    link = join.request.link
    proposal = draft_reonboarding(
        registry.repository,
        registry.proposals,
        join.request.participant,
        link.seq,
        join.link_digest(published),
    )
    print_proposal(registry, proposal, as_json=as_json, out=out)


def _propose_key_holders(
    registry: Registry,
    who: Literal["root", "operators"],
    cards: tuple[Path, ...],
    remove: tuple[str, ...],
    threshold: int | None,
) -> Proposal:
    purpose = KeyPurpose.ROOT if who == "root" else KeyPurpose.OPERATOR
    new_cards = [read_card(path, realm=registry.settings.realm, purpose=purpose) for path in cards]
    names = key_holder_names(registry.folder)
    root = registry.repository.published().root.signed
    role = "root" if who == "root" else "targets"
    change = KeyHolderChange(
        add=[card.public for card in new_cards],
        remove=[find_key_holder(root, role, reference, names) for reference in remove],
        threshold=threshold,
    )
    proposal = draft_key_holders(registry.repository, registry.proposals, who, change)
    note_key_holders(registry.folder, {card.keyid: card.name for card in new_cards})
    return proposal


def _propose_online_key(registry: Registry, role: str, passphrase_file: Path | None) -> Proposal:
    cost: Cost = "development" if _is_development(registry) else "production"
    public = create_next_key(
        registry.folder,
        _ONLINE[role],
        registry.settings.keys,
        registry.settings.realm,
        os.environ,
        created=registry.clock.now(),
        cost=cost,
        passphrase=given_passphrase(passphrase_file),
    )
    if role == "areas":
        return draft_areas_key(registry.repository, registry.proposals, public)
    return draft_online_key(
        registry.repository, registry.proposals, cast('Literal["snapshot", "timestamp"]', role), public
    )


def _is_development(registry: Registry) -> bool:
    """Whether a development ceremony founded the realm: its passphrase file is still there."""
    return is_test_realm(registry.settings.realm) and (registry.folder.ceremony / "passphrase").exists()
