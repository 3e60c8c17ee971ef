"""What waits for signatures: making, showing, signing, publishing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result, rows
from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.rpc.certificate import load_ca
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.document import ServiceEntry
from trust_registry.app import Registry
from trust_registry.approval import changes_of, publish_proposal, sign_proposal, state_of, tally_of
from trust_registry.cli.option import (
    dir_option,
    open_key,
    open_reading,
    open_writing,
    show_changes,
    signing_options,
)
from trust_registry.draft import draft_policy, draft_renewal, draft_service
from trust_registry.proposal import Proposal, ProposalState

__all__ = ["proposals", "propose", "publish", "show", "sign"]


@click.group(cls=CommandGroup)
def propose() -> None:
    """Put something up for signature: a policy, a service's address, a renewal."""


@propose.command(
    "policy",
    examples="""
    trust-registry propose policy national.json --dir registry
    """,
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dir_option
@json_option
def propose_policy(file: Path, folder: Path, as_json: bool) -> None:
    """Propose another policy/national.json, for the operators to sign."""
    registry = open_reading(folder)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
    _print_proposal(registry, draft_policy(registry.repository, registry.proposals, data), as_json=as_json)


@propose.command(
    "service",
    examples="""
    trust-registry propose service gateway --ca gateway/tls/ca.pem --endpoint 127.0.0.1:7445
    """,
)
@click.argument("service", type=click.Choice(["registry", "gateway"]))
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Its CA, PEM.")
@click.option("--endpoint", required=True, help="host:port of its mTLS listener.")
@click.option("--public-endpoint", help="host:port of its listener without client certificates.")
@dir_option
@json_option
def propose_service(
    service: Literal["registry", "gateway"],
    ca: Path,
    endpoint: str,
    public_endpoint: str | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Propose where a national service is reached and the CA it is known by."""
    registry = open_reading(folder)
    entry = ServiceEntry(ca_pem=load_ca(ca), endpoint=endpoint, public_endpoint=public_endpoint)
    proposal = draft_service(registry.repository, registry.proposals, service, entry)
    _print_proposal(registry, proposal, as_json=as_json)


@propose.command(
    "renewal",
    examples="""
    trust-registry propose renewal targets
    trust-registry propose renewal root
    """,
)
@click.argument("role", type=click.Choice(["root", "targets"]))
@dir_option
@json_option
def propose_renewal(role: Literal["root", "targets"], folder: Path, as_json: bool) -> None:
    """Propose to sign root or targets again as they are, before they expire."""
    registry = open_reading(folder)
    proposal = draft_renewal(registry.repository, registry.proposals, role)
    _print_proposal(registry, proposal, as_json=as_json)


@click.command(cls=Command, examples="trust-registry proposals --dir registry")
@dir_option
@click.option("--all", "with_done", is_flag=True, help="Also those that are published or stale.")
@json_option
def proposals(folder: Path, with_done: bool, as_json: bool) -> None:
    """List what waits for signatures."""
    registry = open_reading(folder)
    lines = [_describe(registry, proposal) for proposal in registry.proposals.all()]
    if not with_done:
        lines = [line for line in lines if line["state"] == ProposalState.OPEN]
    columns = ("proposal", "title", "role", "version", "state", "signatures", "threshold", "created")
    print_result({"proposals": lines}, as_json=as_json, table=lambda data: rows(columns, data["proposals"]))


@click.command(cls=Command, examples="trust-registry show 3fa9c2 --dir registry")
@click.argument("proposal_id", metavar="PROPOSAL")
@dir_option
@json_option
def show(proposal_id: str, folder: Path, as_json: bool) -> None:
    """Show all that a proposal would change, value by value."""
    registry = open_reading(folder)
    proposal = registry.proposals.find(proposal_id)
    changes = changes_of(proposal, registry.repository.published())
    if not as_json:
        show_changes(proposal.title, changes)
    data = {**_describe(registry, proposal), "changes": [str(change) for change in changes]}
    print_result(
        data, as_json=as_json, table=lambda found: details({k: v for k, v in found.items() if k != "changes"})
    )


@click.command(
    cls=Command,
    examples="""
    trust-registry sign 3fa9c2 --dir registry --key /media/usb/operator-1.key
    """,
)
@click.argument("proposal_id", metavar="PROPOSAL")
@dir_option
@signing_options
@json_option
def sign(
    proposal_id: str, folder: Path, key_path: Path, passphrase_file: Path | None, yes: bool, as_json: bool
) -> None:
    """Sign a proposal, as an operator or root holder; at the threshold it is published at once."""
    registry = open_writing(folder)
    proposal = registry.proposals.find(proposal_id)
    changes = changes_of(proposal, registry.repository.published())
    if not as_json:
        show_changes(f"You sign, in realm {registry.settings.realm}: {proposal.title}", changes)
    if not yes:
        click.confirm("Sign exactly this?", abort=True, err=True)
    key = open_key(
        key_path,
        passphrase_file,
        realm=registry.settings.realm,
        purpose=KeyPurpose.ROOT if proposal.role == "root" else KeyPurpose.OPERATOR,
        folder=folder,
    )
    signing = sign_proposal(registry.repository, registry.proposals, proposal.id, key.private)
    data: dict[str, Any] = {**_describe(registry, signing.proposal), "signed_by": key.info.name}
    print_result(data, as_json=as_json, table=details)


@click.command(cls=Command, examples="trust-registry publish 3fa9c2 --dir registry")
@click.argument("proposal_id", metavar="PROPOSAL")
@dir_option
@json_option
def publish(proposal_id: str, folder: Path, as_json: bool) -> None:
    """Publish a proposal that has its signatures (a server that runs does so by itself)."""
    registry = open_writing(folder)
    publish_proposal(registry.repository, registry.proposals, proposal_id)
    _print_proposal(registry, registry.proposals.find(proposal_id), as_json=as_json)


def _describe(registry: Registry, proposal: Proposal) -> dict[str, Any]:
    published = registry.repository.published()
    tally = tally_of(proposal, published)
    return {
        "proposal": proposal.id,
        "title": proposal.title,
        "role": proposal.role,
        "version": proposal.version,
        "state": state_of(proposal, published).value,
        "signatures": tally.signatures,
        "threshold": tally.threshold,
        "created": rfc3339(proposal.created),
    }


def _print_proposal(registry: Registry, proposal: Proposal, *, as_json: bool) -> None:
    print_result(_describe(registry, proposal), as_json=as_json, table=details)
