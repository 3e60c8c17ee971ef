"""Founding a realm over files carried by hand: nobody's key leaves their machine.

Each holder makes a key of their own and brings its card. From the cards the first root
and targets are drafted, and travel as one file to be signed; every signature that comes
back is kept, so that this may take days. At both thresholds the realm is founded. Until
then nothing in the folder looks like a registry that could be served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, InvalidInputError, NotFoundError
from healthcode.policy.area import AreaRisk, encode_areas
from healthcode.policy.book_file import decode_policy
from healthcode.signing.keyfile import Cost
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.trust.format.layout import REALM_FIELD, RISK_PATH
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.founding.ceremony import (
    CeremonyPlan,
    check_shape,
    configuration_of,
    draft_founding,
    draw_passphrase,
    make_registry_tls,
    national_files,
)
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.in_force import Carried, decode_carried, encode_carried
from trust_registry.proposals.key_holders import HolderCard, note_holders
from trust_registry.proposals.sign import Tally, merge_signatures, rolls_of, tally_of
from trust_registry.settings import KeySettings
from trust_registry.tree.online_keys import create_online_keys, read_online_keys
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import RoleUpdate

__all__ = [
    "Founded",
    "check_founded",
    "collect_founding",
    "is_being_founded",
    "next_of",
    "open_founding",
    "prepare_founding",
]


@dataclass(frozen=True, slots=True)
class Founded:
    """Where a founding stands; `fingerprint` once the realm is founded."""

    carried: Carried
    tally: Tally
    taken: tuple[str, ...]
    fingerprint: str | None


def is_being_founded(folder: RegistryFolder) -> bool:
    """Whether a founding by cards was begun here and waits for signatures."""
    return folder.founding.is_file() and not (folder.repository / "metadata").exists()


def check_founded(folder: RegistryFolder) -> None:
    """Refuses a folder whose realm is not founded yet: ConfigurationError says who has not signed, and what is next."""
    if not is_being_founded(folder):
        return
    carried = open_founding(folder)
    papers = [
        f"{roll.paper} has {roll.tally.signatures} of {roll.tally.threshold} signatures"
        + ("" if roll.tally.is_complete else f", missing {', '.join(roll.missing)}")
        for roll in rolls_of(carried.proposal, None, carried.names)
    ]
    raise ConfigurationError(
        f"realm {carried.proposal.signed[REALM_FIELD]} is being founded here: {'; '.join(papers)}. "
        f"Next: {next_of(folder)}"
    )


def next_of(folder: RegistryFolder) -> str:
    """What brings a founding forward, in commands."""
    return (
        f"each who is missing signs, `trust-registry sign {folder.founding} --key KEY` or a copy that is carried; "
        f"then `trust-registry collect FILE --dir {folder.root}`"
    )


def prepare_founding(
    plan: CeremonyPlan, cards: Sequence[HolderCard], folder: RegistryFolder, clock: Clock
) -> Carried:
    """Lays out the folder and drafts the first root and targets, to be carried to their signers.

    `plan` names no holders here: the cards do. Raises InvalidInputError, ConfigurationError.
    """
    roots = [card for card in cards if card.purpose == KeyPurpose.ROOT.value]
    operators = [card for card in cards if card.purpose == KeyPurpose.OPERATOR.value]
    check_shape(
        plan.realm,
        development=plan.development,
        roots=(len(roots), plan.root_threshold),
        operators=(len(operators), plan.operator_threshold),
    )
    if len({card.public for card in cards}) != len(cards) or len(
        {card.name.casefold() for card in cards}
    ) != len(cards):
        raise InvalidInputError("two cards have one key or one name: each holder has their own")
    decode_policy(plan.policy)
    if folder.root.exists() and any(folder.root.iterdir()):
        raise ConfigurationError(f"{folder.root} is not empty: a ceremony begins in a new folder")
    now = clock.now()
    for path in (folder.root, folder.ceremony, folder.keys, folder.tls, folder.joins, folder.proposals):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = draw_passphrase(folder)
    cost: Cost = "development" if plan.development else "production"
    online = create_online_keys(folder.keys, passphrase, realm=plan.realm, created=now, cost=cost)
    files = national_files(plan, make_registry_tls(plan, folder, now))
    names = {card.keyid: card.name for card in cards}
    note_holders(folder, names)
    proposal = draft_founding(
        plan,
        root_keys=[card.public for card in roots],
        operator_keys=[card.public for card in operators],
        online=online,
        files=files,
        now=now,
    )
    save_file(folder.configuration, configuration_of(plan).encode())
    carried = Carried(proposal, None, names)
    # last, so that a folder with this file is a whole one
    save_file(folder.founding, encode_carried(carried))
    return carried


def open_founding(folder: RegistryFolder) -> Carried:
    """What waits for signatures. Raises NotFoundError when no founding was begun here."""
    data = read_file(folder.founding)
    if data is None:
        raise NotFoundError(
            f"no founding was begun in {folder.root}: `trust-registry init --card …` begins one"
        )
    return decode_carried(data)


def collect_founding(folder: RegistryFolder, others: Sequence[Carried], clock: Clock) -> Founded:
    """Takes over signatures, durably, and founds the realm when both thresholds are reached.

    Raises as merge_signatures: SignatureError says whose signature does not hold.
    """
    carried = open_founding(folder)
    proposal, taken = carried.proposal, []
    for other in others:
        proposal, added = merge_signatures(proposal, other.proposal, None, carried.names)
        taken += added
    carried = Carried(proposal, None, carried.names)
    save_file(folder.founding, encode_carried(carried))
    tally = tally_of(proposal, None)
    if not tally.is_complete:
        return Founded(carried, tally, tuple(taken), None)
    realm = str(proposal.signed[REALM_FIELD])
    keys = read_online_keys(folder, KeySettings(passphrase_file=folder.passphrase), realm, {})
    Repository(folder, keys, clock).found(
        proposal.metadata,
        RoleUpdate(1, proposal.companion, proposal.files),
        {RISK_PATH: encode_areas(AreaRisk(as_of=clock.now()))},
    )
    return Founded(carried, tally, tuple(taken), root_fingerprint(proposal.metadata))
