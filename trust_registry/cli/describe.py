"""Describes proposals for commands that print them: facts, who has signed, who is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from healthcode.cli.console import details, error_console, rows
from healthcode.clock import rfc3339
from healthcode.signing.ed25519 import kid
from healthcode.trust.format.json_files import ParticipantsFile, decode_json_file
from healthcode.trust.format.layout import PARTICIPANTS_PATH
from healthcode.trust.format.metadata import Root, decode_metadata
from healthcode.trust.format.metadata_fields import bootstraps_in
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.verify.roots import spoken_fingerprint
from trust_registry.proposals.in_force import InForce
from trust_registry.proposals.proposal import Proposal, ProposalState
from trust_registry.proposals.signed_documents import state_of
from trust_registry.proposals.signers import rolls_of, tally_of
from trust_registry.tree.current import LIMITS

__all__ = ["describe_proposal", "describe_table", "key_names", "warn_of_bootstrap"]


_RESTARTS = "NEW BOOTSTRAP: the root in force does not sign this one. Every node refuses it until a person there adopts it"


def key_names(proposal: Proposal, in_force: InForce | None, key_holders: Mapping[str, str]) -> dict[str, str]:
    """Names to show beside keys, by key id and by public key in hex: key holders' names, authorities' kids."""
    names = dict(key_holders)
    files = [proposal.files.get(PARTICIPANTS_PATH)]
    if in_force is not None:
        files.append(in_force.file(in_force.targets, PARTICIPANTS_PATH))
    for data in filter(None, files):
        document = decode_json_file(ParticipantsFile, data, LIMITS.participants_bytes)
        for code, entry in document.participants.items():
            for key in (key for link in entry.chain for key in link.keys):
                name = f"authority {code}, kid {kid(key).hex()}"
                names |= {key.hex(): name, str(tuf_key(key).keyid): name}
    return names


def warn_of_bootstrap(proposal: Proposal) -> None:
    """Warns the signer on standard error if the proposal restarts root."""
    if _restarts_after(proposal) is not None:
        error_console().print(Text(_RESTARTS, style="bold red"), soft_wrap=True)


def _restarts_after(proposal: Proposal) -> str | None:
    """The fingerprint of the root before a new bootstrap; None for any other proposal."""
    if proposal.role != "root":
        return None
    root = decode_metadata(proposal.metadata, Root).signed
    return bootstraps_in(root).get(str(root.version))


def describe_proposal(
    proposal: Proposal, in_force: InForce | None, realm: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """The facts of a proposal, how many have signed it, and the names of missing signers."""
    tally = tally_of(proposal, in_force)
    state = ProposalState.OPEN if in_force is None else state_of(proposal, in_force)
    rolls = rolls_of(proposal, in_force, names) if state is ProposalState.OPEN else []
    return {
        **_describe_restart(proposal, in_force),
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
                "paper": roll.document,
                "by": roll.by,
                "signatures": f"{roll.tally.signatures} of {roll.tally.threshold}",
                "signed": list(roll.signed),
                "missing": list(roll.missing),
                "wrong": list(roll.wrong),
            }
            for roll in rolls
        ],
    }


def _describe_restart(proposal: Proposal, in_force: InForce | None) -> dict[str, Any]:
    """A warning about a new bootstrap; once it is in force, the fingerprint that everybody must be told."""
    after = _restarts_after(proposal)
    if after is None or in_force is None:
        return {}
    if in_force.root.signed.version < proposal.version:
        return {"begins_anew": f"{_RESTARTS} (the root in force is {after})"}
    return {
        "root_fingerprint": in_force.fingerprint,
        "read_out": spoken_fingerprint(in_force.fingerprint),
        "next": "call every node, gateway and verifier and read the fingerprint out: each refuses this registry until "
        "`rebootstrap` is run there; `trust-registry nodes` shows by root_version who has done it",
    }


def describe_table(data: Mapping[str, Any]) -> RenderableType:
    """A described proposal for people, with one line for each roll of signers."""
    facts = {name: value for name, value in data.items() if name not in {"rolls", "changes", "summary"}}
    if not data.get("rolls"):
        return details(facts)
    # they repeat the roll that lacks most signatures, and beside the rolls would look like another count
    facts = {name: value for name, value in facts.items() if name not in {"signatures", "threshold"}}
    columns = ("paper", "by", "signatures", "signed", "missing", "wrong")
    return Group(details(facts), rows(columns, data["rolls"], title="Who signs"))
