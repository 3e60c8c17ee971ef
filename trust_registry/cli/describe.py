"""Proposals that travel as files: reading, describing and signing them without a registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import details, error_console, rows
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.signing.ed25519 import kid
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.trust.format.json_files import ParticipantsFile, decode_json_file
from healthcode.trust.format.layout import PARTICIPANTS_PATH, metadata_file
from healthcode.trust.format.metadata import Root, decode_metadata
from healthcode.trust.format.metadata_fields import bootstraps_in, realm_of
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.verify.roots import spoken_fingerprint
from trust_registry.cli.option import ask_to_sign, open_key, show_changes, signing_purposes
from trust_registry.proposals.in_force import Basis, Carried, decode_carried, encode_carried
from trust_registry.proposals.proposal import Proposal, ProposalState
from trust_registry.proposals.sign import add_signature, changes_of, rolls_of, state_of, tally_of
from trust_registry.tree.current import LIMITS

__all__ = [
    "begins_after",
    "carried_from",
    "describe_carried",
    "describe_proposal",
    "describe_table",
    "key_names",
    "next_after_signing",
    "realm_in",
    "sign_carried",
    "warn_of_bootstrap",
]


_BEGINS_ANEW = "NEW BOOTSTRAP: the root in force does not sign this one. Every node refuses it until a person there adopts it"


def key_names(proposal: Proposal, basis: Basis | None, holders: Mapping[str, str]) -> dict[str, str]:
    """How the keys in a difference are called, by id and by public key in hex: holders by name, authorities by kid."""
    names = dict(holders)
    files = [proposal.files.get(PARTICIPANTS_PATH)]
    if basis is not None:
        files.append(basis.file(basis.targets, PARTICIPANTS_PATH))
    for data in filter(None, files):
        document = decode_json_file(ParticipantsFile, data, LIMITS.participants_bytes)
        for code, entry in document.participants.items():
            for key in (key for link in entry.chain for key in link.keys):
                called = f"authority {code}, kid {kid(key).hex()}"
                names |= {key.hex(): called, str(tuf_key(key).keyid): called}
    return names


def begins_after(proposal: Proposal) -> str | None:
    """The fingerprint of the root after which a proposal lets root begin anew; None for any other."""
    if proposal.role != "root":
        return None
    root = decode_metadata(proposal.metadata, Root).signed
    return bootstraps_in(root).get(str(root.version))


def warn_of_bootstrap(proposal: Proposal) -> None:
    """Says to who signs that a root begins anew, if it does."""
    if begins_after(proposal) is not None:
        error_console().print(Text(_BEGINS_ANEW, style="bold red"), soft_wrap=True)


def carried_from(path: str) -> Carried:
    """The proposal in a file that was carried. Raises InvalidInputError, DecodeError, SignatureError."""
    data = read_file(Path(path))
    if data is None:
        raise InvalidInputError(f"{path} is not there")
    return decode_carried(data)


def realm_in(carried: Carried) -> str:
    """The realm that a carried proposal is of."""
    if carried.basis is not None:
        return realm_of(carried.basis.root.signed)
    return realm_of(decode_metadata(carried.proposal.metadata, Root).signed)


def describe_carried(carried: Carried) -> dict[str, Any]:
    """What is shown of a carried proposal."""
    data = describe_proposal(carried.proposal, carried.basis, realm_in(carried), carried.names)
    if carried.basis is not None:
        version = carried.basis.root.signed.version
        data["root_in_force"] = f"{metadata_file('root', version)}, {carried.basis.fingerprint}"
    return data


def describe_proposal(
    proposal: Proposal, basis: Basis | None, realm: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """A proposal, how many have signed it, and who is missing, by name."""
    tally = tally_of(proposal, basis)
    state = ProposalState.OPEN if basis is None else state_of(proposal, basis)
    rolls = rolls_of(proposal, basis, names) if state is ProposalState.OPEN else []
    return {
        **_beginning(proposal, basis),
        "proposal": proposal.id,
        "digest": f"sha256:{proposal.digest}",
        "title": proposal.title,
        "realm": realm,
        "role": proposal.role,
        "version": proposal.version,
        "state": state.value,
        "signatures": tally.signatures,
        "threshold": tally.threshold,
        "created": rfc3339(proposal.created),
        "rolls": [
            {
                "paper": roll.paper,
                "by": roll.by,
                "signatures": f"{roll.tally.signatures} of {roll.tally.threshold}",
                "signed": list(roll.signed),
                "missing": list(roll.missing),
                "wrong": list(roll.wrong),
            }
            for roll in rolls
        ],
    }


def _beginning(proposal: Proposal, basis: Basis | None) -> dict[str, Any]:
    """Of a root that begins anew: that it does; and once it is in force, what everybody must be told."""
    after = begins_after(proposal)
    if after is None or basis is None:
        return {}
    if basis.root.signed.version < proposal.version:
        return {"begins_anew": f"{_BEGINS_ANEW} (the root in force is {after})"}
    return {
        "root_fingerprint": basis.fingerprint,
        "read_out": spoken_fingerprint(basis.fingerprint),
        "next": "call everybody and read the fingerprint out: each refuses this registry until `rebootstrap` was run there; "
        "`trust-registry nodes` shows who did, by root_version",
    }


def describe_table(data: Mapping[str, Any]) -> RenderableType:
    """The same for people: who must sign each paper, a line each."""
    facts = {name: value for name, value in data.items() if name not in {"rolls", "changes"}}
    if not data.get("rolls"):
        return details(facts)
    # of several papers these are the one that lacks most: beside a line for each they would read as another count
    facts = {name: value for name, value in facts.items() if name not in {"signatures", "threshold"}}
    columns = ("paper", "by", "signatures", "signed", "missing", "wrong")
    return Group(details(facts), rows(columns, data["rolls"], title="Who signs"))


def next_after_signing(carried: Carried, file: Path) -> str:
    """Who has still to sign the file, or that it goes back."""
    rolls = rolls_of(carried.proposal, carried.basis, carried.names)
    lacking = [
        f"{roll.tally.threshold - roll.tally.signatures} more on {roll.paper} by {roll.by} (of {', '.join(roll.missing)})"
        for roll in rolls
        if not roll.tally.is_complete
    ]
    back = f"`trust-registry collect {file.name}`"
    if not lacking:
        return f"all have signed: carry the file back to the registry, and there {back}"
    return f"{'; '.join(lacking)}: carry the file to the next who signs, or back to the registry, and there {back}"


def sign_carried(
    path: Path, out: Path | None, key_path: Path, passphrase_file: Path | None, *, yes: bool, quiet: bool
) -> Carried:
    """Shows what a carried file would change, asks, signs, and writes it."""
    carried = carried_from(str(path))
    proposal, realm = carried.proposal, realm_in(carried)
    if not quiet:
        show_changes(
            f"You sign, in realm {realm}: {proposal.title}",
            changes_of(proposal, carried.basis),
            names=key_names(proposal, carried.basis, carried.names),
            digest=proposal.digest,
        )
        warn_of_bootstrap(proposal)
        if carried.basis is None:
            error_console().print("This founds the realm: nothing was in force before.")
        else:
            error_console().print(
                f"Root in force, compare it with what you know: {carried.basis.fingerprint}"
            )
    if not yes:
        ask_to_sign(proposal.digest)
    key = open_key(key_path, passphrase_file, realm=realm, purposes=signing_purposes(proposal), folder=None)
    signed = replace(carried, proposal=add_signature(proposal, carried.basis, key.private))
    save_file(out or path, encode_carried(signed))
    return signed
