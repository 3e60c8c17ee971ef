"""Proposals in carried files: reads, describes and signs them without a registry."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from healthcode.cli.console import error_console
from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import read_file
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata import Root, decode_metadata
from healthcode.trust.format.metadata_fields import realm_of
from trust_registry.cli.describe import describe_proposal, key_names, warn_of_bootstrap
from trust_registry.cli.option import ask_to_sign, open_key, show_changes, signing_purposes
from trust_registry.proposals.in_force import (
    CarriedProposal,
    decode_carried_proposal,
    encode_carried_proposal,
)
from trust_registry.proposals.sign import add_signature
from trust_registry.proposals.signed_documents import changes_of, policy_summary
from trust_registry.proposals.signers import rolls_of

__all__ = [
    "check_reference",
    "describe_carried_proposal",
    "next_after_signing",
    "read_carried_proposal",
    "sign_carried_proposal",
]


@as_caller()
def read_carried_proposal(path: Path) -> CarriedProposal:
    """The proposal in a carried file.

    Raises InvalidInputError, DecodeError, SignatureError, TrustError.
    """
    data = read_file(path)
    if data is None:
        raise InvalidInputError(f"{path} does not exist")
    return decode_carried_proposal(data)


def describe_carried_proposal(carried: CarriedProposal) -> dict[str, Any]:
    """The result of commands that print a carried proposal."""
    data = describe_proposal(carried.proposal, carried.in_force, _realm_of(carried), carried.names)
    if carried.in_force is not None:
        version = carried.in_force.root.signed.version
        data["root_in_force"] = f"{metadata_file('root', version)}, {carried.in_force.fingerprint}"
    return data


def _realm_of(carried: CarriedProposal) -> str:
    if carried.in_force is not None:
        return realm_of(carried.in_force.root.signed)
    return realm_of(decode_metadata(carried.proposal.metadata, Root).signed)


def sign_carried_proposal(
    path: Path,
    out: Path | None,
    key_path: Path,
    passphrase_file: Path | None,
    *,
    yes: bool,
    quiet: bool,
    full: bool = False,
) -> CarriedProposal:
    """Shows the changes in a carried file, asks, signs it, and writes it to `out` or back to `path`."""
    carried = read_carried_proposal(path)
    proposal, realm = carried.proposal, _realm_of(carried)
    if not quiet:
        show_changes(
            f"You sign, in realm {realm}: {proposal.title}",
            changes_of(proposal, carried.in_force),
            names=key_names(proposal, carried.in_force, carried.names),
            digest=proposal.digest,
            summary=policy_summary(proposal, carried.in_force),
            full=full,
        )
        warn_of_bootstrap(proposal)
        if carried.in_force is None:
            error_console().print("This founds the realm: nothing was in force before.")
        else:
            error_console().print(
                f"Root in force, compare it with the one you know: {carried.in_force.fingerprint}"
            )
    if not yes:
        ask_to_sign(proposal.digest)
    key = open_key(key_path, passphrase_file, realm=realm, purposes=signing_purposes(proposal), folder=None)
    signed = replace(carried, proposal=add_signature(proposal, carried.in_force, key.private))
    with as_caller():
        save_file(out or path, encode_carried_proposal(signed))
    return signed


def check_reference(reference: str) -> None:
    """Raises ConfigurationError if this, which is no file, cannot be a proposal's id either: a file was meant."""
    if re.fullmatch(r"[0-9a-fA-F]+", reference) is None:
        raise ConfigurationError(f"there is no file {reference}: name the carried file, or a proposal's id")


def next_after_signing(carried: CarriedProposal, file: Path) -> str:
    """The next step after a signature: who must still sign, or that the file goes back to the registry."""
    rolls = rolls_of(carried.proposal, carried.in_force, carried.names)
    lacking = [
        f"{roll.tally.threshold - roll.tally.signatures} more on {roll.document} by {roll.by} "
        f"(of {', '.join(roll.missing)})"
        for roll in rolls
        if not roll.tally.is_complete
    ]
    collect = f"run `trust-registry collect {file.name}` there"
    if not lacking:
        return f"it has all signatures: carry the file back to the registry, and {collect}"
    return f"{'; '.join(lacking)}: carry the file to the next signer, or back to the registry, and {collect}"
