"""Founding a realm by carried files: key holders bring cards of keys made at home, and sign there.

Signatures are kept as they come back, over days; until both thresholds are reached nothing can be served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, InvalidInputError, NotFoundError
from healthcode.policy.lint.policy_lint import check_policy
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.trust.format.layout import REALM_FIELD
from trust_registry.founding.first_files import (
    configuration_of,
    create_folders,
    draft_founding,
    make_online_keys,
    publish_founding,
)
from trust_registry.founding.plan import FoundingPlan, check_folder_is_new, check_thresholds
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.in_force import (
    CarriedProposal,
    decode_carried_proposal,
    encode_carried_proposal,
)
from trust_registry.proposals.key_holders import KeyHolderCard, note_key_holders
from trust_registry.proposals.sign import merge_signatures
from trust_registry.proposals.signers import rolls_of, tally_of
from trust_registry.settings import KeySettings
from trust_registry.tree.online_keys import read_online_keys

__all__ = [
    "FoundingProgress",
    "check_founded",
    "collect_signatures",
    "is_being_founded",
    "next_commands",
    "prepare_founding",
    "read_founding",
]


@dataclass(frozen=True, slots=True)
class FoundingProgress:
    """The kept proposal with the newly added signers; `fingerprint` is None until the realm is founded."""

    carried: CarriedProposal
    added: tuple[str, ...]
    fingerprint: str | None


def is_being_founded(folder: RegistryFolder) -> bool:
    """Whether a founding in `folder` waits for signatures."""
    return folder.founding.is_file() and not (folder.repository / "metadata").exists()


def check_founded(folder: RegistryFolder) -> None:
    """Refuses a folder whose realm is not founded yet.

    Raises ConfigurationError, which names the missing signers and the next step.
    """
    if not is_being_founded(folder):
        return
    carried = read_founding(folder)
    documents = [
        f"{roll.document} has {roll.tally.signatures} of {roll.tally.threshold} signatures"
        + ("" if roll.tally.is_complete else f", missing {', '.join(roll.missing)}")
        for roll in rolls_of(carried.proposal, None, carried.names)
    ]
    raise ConfigurationError(
        f"realm {carried.proposal.signed[REALM_FIELD]} is being founded here: {'; '.join(documents)}. "
        f"Next: {next_commands(folder)}"
    )


def next_commands(folder: RegistryFolder) -> str:
    """The next commands of a founding."""
    return (
        f"each missing signer runs `trust-registry sign {folder.founding} --key KEY`, here or on a carried copy; "
        f"then run `trust-registry collect FILE --dir {folder.root}`"
    )


def prepare_founding(
    plan: FoundingPlan, cards: Sequence[KeyHolderCard], folder: RegistryFolder, clock: Clock
) -> CarriedProposal:
    """Prepares the folder, and proposes the first root and targets for the owners of the cards to sign.

    Raises InvalidInputError, ConfigurationError.
    """
    roots = [card for card in cards if card.purpose == KeyPurpose.ROOT.value]
    operators = [card for card in cards if card.purpose == KeyPurpose.OPERATOR.value]
    check_thresholds(
        plan.realm,
        development=plan.development,
        roots=(len(roots), plan.root_threshold),
        operators=(len(operators), plan.operator_threshold),
    )
    if len({card.public for card in cards}) != len(cards) or len(
        {card.name.casefold() for card in cards}
    ) != len(cards):
        raise InvalidInputError("two cards have one key or one name: each key holder has their own")
    check_policy(plan.policy)
    check_folder_is_new(folder)
    now = clock.now()
    create_folders(folder)
    online = make_online_keys(plan, folder, now)
    names = {card.keyid: card.name for card in cards}
    note_key_holders(folder, names)
    proposal = draft_founding(
        plan,
        folder,
        online,
        root_keys=[card.public for card in roots],
        operator_keys=[card.public for card in operators],
        now=now,
    )
    save_file(folder.configuration, configuration_of(plan).encode())
    carried = CarriedProposal(proposal, None, names)
    # last: a folder that has this file is complete
    save_file(folder.founding, encode_carried_proposal(carried))
    return carried


def read_founding(folder: RegistryFolder) -> CarriedProposal:
    """The proposal that waits for signatures. Raises NotFoundError if there is no founding in `folder`."""
    data = read_file(folder.founding)
    if data is None:
        raise NotFoundError(
            f"no founding was begun in {folder.root}: begin one with `trust-registry init --card …`"
        )
    return decode_carried_proposal(data)


def collect_signatures(
    folder: RegistryFolder, others: Sequence[CarriedProposal], clock: Clock
) -> FoundingProgress:
    """Adds signatures, durably, and founds the realm when both thresholds are reached.

    Raises as merge_signatures.
    """
    carried = read_founding(folder)
    proposal, added = carried.proposal, []
    for other in others:
        proposal, new = merge_signatures(proposal, other.proposal, None, carried.names)
        added += new
    carried = CarriedProposal(proposal, None, carried.names)
    save_file(folder.founding, encode_carried_proposal(carried))
    if not tally_of(proposal, None).is_complete:
        return FoundingProgress(carried, tuple(added), None)
    realm = str(proposal.signed[REALM_FIELD])
    online = read_online_keys(folder, KeySettings(passphrase_file=folder.passphrase), realm, {})
    return FoundingProgress(carried, tuple(added), publish_founding(proposal, folder, online, clock))
