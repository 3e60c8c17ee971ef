"""The ceremony that founds a realm on one machine: each key holder chooses a passphrase, sees the changes and signs.

A development ceremony asks no questions; it can only found a test realm.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from healthcode.clock import Clock
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import Cost, create_key_file
from healthcode.storage.files import save_file
from healthcode.storage.staging import make_staging, put_in_place, remove_staging
from healthcode.trust.format.tuf_keys import tuf_key
from trust_registry.founding.first_files import (
    configuration_of,
    create_folders,
    draft_founding,
    make_online_keys,
    publish_founding,
)
from trust_registry.founding.plan import FoundingPlan, KeyHolder, check_folder_is_new
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.difference import Change
from trust_registry.proposals.in_force import CarriedProposal, encode_carried_proposal
from trust_registry.proposals.key_holders import note_key_holders
from trust_registry.proposals.proposal import Proposal
from trust_registry.proposals.sign import add_signature
from trust_registry.proposals.signed_documents import changes_of
from trust_registry.proposals.signers import tally_of

__all__ = ["CeremonyResult", "SigningStep", "hold_ceremony"]


@dataclass(frozen=True, slots=True)
class SigningStep:
    """A key holder who is asked to sign, and what they sign; `names` are by key id."""

    key_holder: KeyHolder
    proposal: Proposal
    changes: Sequence[Change]
    names: Mapping[str, str]
    is_first: bool


@dataclass(frozen=True, slots=True)
class CeremonyResult:
    """The outcome of a ceremony. The files in `carry_away` must leave this machine.

    `fingerprint` is None if too few have signed; `carried` then says who is missing.
    """

    realm: str
    fingerprint: str | None
    carried: CarriedProposal
    carry_away: Sequence[Path]
    ca_certificate: Path


def hold_ceremony(
    plan: FoundingPlan, folder: RegistryFolder, clock: Clock, *, confirm: Callable[[SigningStep], bool]
) -> CeremonyResult:
    """Founds the realm in `folder`, which must be empty or not exist.

    `confirm` is asked once for each key holder whether they sign; if it raises, nothing is kept. If too
    few sign, the signatures are kept for by_cards.collect_founding. Raises InvalidInputError,
    ConfigurationError.
    """
    plan.check()
    check_folder_is_new(folder)
    target = folder.root.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    # a fault leaves nothing that looks like a registry: the folder gets its name when it is complete
    staging = target.parent / f".{target.name}.ceremony-{secrets.token_hex(4)}"
    make_staging(staging)
    try:
        fingerprint, carried = _hold(plan, RegistryFolder(staging), clock, confirm)
        put_in_place(staging, target)
    except BaseException:
        remove_staging(staging)
        raise
    final = RegistryFolder(folder.root)
    return CeremonyResult(
        realm=plan.realm,
        fingerprint=fingerprint,
        carried=carried,
        carry_away=[*sorted(final.ceremony.glob("*.key")), final.tls / "ca.key"],
        ca_certificate=final.tls / "ca.pem",
    )


def _hold(
    plan: FoundingPlan, folder: RegistryFolder, clock: Clock, confirm: Callable[[SigningStep], bool]
) -> tuple[str | None, CarriedProposal]:
    now = clock.now()
    create_folders(folder)
    online = make_online_keys(plan, folder, now)
    keys = _make_keys(plan, folder, now)
    names = {
        str(tuf_key(key.public).keyid): key_holder.key_name
        if key_holder.person == key_holder.key_name
        else f"{key_holder.key_name} {key_holder.person}"
        for key_holder, key in keys
    }
    note_key_holders(folder, names)
    proposal = draft_founding(
        plan,
        folder,
        online,
        root_keys=[key.public for _, key in keys[: len(plan.roots)]],
        operator_keys=[key.public for _, key in keys[len(plan.roots) :]],
        now=now,
    )
    changes = changes_of(proposal, None)
    # all are asked, not only a threshold: a signature proves that the key holder can open their key file
    for position, (key_holder, key) in enumerate(keys):
        if confirm(SigningStep(key_holder, proposal, changes, names, is_first=position == 0)):
            proposal = add_signature(proposal, None, key)
    save_file(folder.configuration, configuration_of(plan).encode())
    carried = CarriedProposal(proposal, None, names)
    if not tally_of(proposal, None).is_complete:
        save_file(folder.founding, encode_carried_proposal(carried))
        return None, carried
    return publish_founding(proposal, folder, online, clock), carried


def _make_keys(plan: FoundingPlan, folder: RegistryFolder, now: int) -> list[tuple[KeyHolder, PrivateKey]]:
    """A key file for each key holder, root holders first."""
    cost: Cost = "development" if plan.development else "production"
    keys = [(key_holder, PrivateKey.generate()) for key_holder in (*plan.roots, *plan.operators)]
    for key_holder, key in keys:
        create_key_file(
            folder.ceremony / f"{key_holder.key_name}.key",
            key,
            key_holder.passphrase,
            purpose=key_holder.purpose,
            realm=plan.realm,
            name=key_holder.person,
            created=now,
            cost=cost,
        )
    if plan.development:
        save_file(folder.ceremony / "passphrase", plan.roots[0].passphrase + b"\n", mode=0o600)
    return keys
