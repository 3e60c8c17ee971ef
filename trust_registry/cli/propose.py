"""`propose`: drafts a proposal for operators or root holders to sign (`sign.py` has the next steps)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from healthcode.cli.console import CommandGroup, json_option, print_result
from healthcode.cli.parameter import ENDPOINT
from healthcode.errors import InvalidInputError
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.trust.format.json_files import ServiceEntry
from trust_registry.cli.describe import describe_proposal, describe_table
from trust_registry.cli.option import dir_option, full_option, open_reading, show_changes
from trust_registry.participants.service_cas import who_is_cut_off
from trust_registry.proposals.drafts import draft_policy, draft_renewal, draft_service
from trust_registry.proposals.in_force import CarriedProposal, carry, encode_carried_proposal
from trust_registry.proposals.key_holders import key_holder_names
from trust_registry.proposals.proposal import Proposal
from trust_registry.proposals.signed_documents import changes_of, policy_summary
from trust_registry.registry import Registry

__all__ = ["carry_proposal", "describe_here", "print_proposal", "propose"]


@click.group(
    cls=CommandGroup,
    lazy={
        "areas": "trust_registry.cli.areas:propose_areas",
        "bootstrap": "trust_registry.cli.bootstrap:propose_bootstrap",
        "reonboarding": "trust_registry.cli.rotation:propose_reonboarding",
        "retirement": "trust_registry.cli.retirement:propose_retirement",
        "rotation": "trust_registry.cli.rotation:propose_rotation",
    },
    examples="""
    trust-registry propose policy national.json --dir registry
    trust-registry propose service gateway --ca gateway/tls/ca.pem --endpoint 127.0.0.1:7445 --dir registry
    trust-registry propose renewal targets --dir registry
    # then each signer
    trust-registry sign 3fa9c2 --dir registry --key /media/usb/operator-1.key
    """,
)
def propose() -> None:
    """Propose a change for others to sign: a policy, a service's address, keys, a retirement, a renewal."""


_out_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write a file to carry."
)


@propose.command(
    "policy",
    examples="""
    trust-registry propose policy national.json --dir registry
    """,
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dir_option
@_out_option
@full_option
@json_option
def propose_policy(file: Path, folder: Path, out: Path | None, full: bool, as_json: bool) -> None:
    """Propose another policy/national.json; operators sign it.

    `healthcode policy lint` must find no error in FILE, and `healthcode policy test` shows its examples.
    """
    registry = open_reading(folder)
    try:
        with as_caller():
            data = file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
    proposal = draft_policy(registry.repository, registry.proposals, data)
    if not as_json:
        published = registry.repository.published()
        changes, summary = changes_of(proposal, published), policy_summary(proposal, published)
        show_changes("The national policy would change:", changes, summary=summary, full=full)
    print_proposal(registry, proposal, as_json=as_json, out=out)


@propose.command(
    "service",
    examples="""
    trust-registry propose service gateway --ca gateway/tls/ca.pem --endpoint 127.0.0.1:7445 --dir registry
    """,
)
@click.argument("service", type=click.Choice(["registry", "gateway"], case_sensitive=False))
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Its CA, PEM.")
@click.option("--endpoint", type=ENDPOINT, required=True, help="Its mTLS listener.")
@click.option("--public-endpoint", type=ENDPOINT, help="Its listener without client certificates.")
@dir_option
@_out_option
@json_option
def propose_service(
    service: Literal["registry", "gateway"],
    ca: Path,
    endpoint: str,
    public_endpoint: str | None,
    folder: Path,
    out: Path | None,
    as_json: bool,
) -> None:
    """Propose the address and the CA of a national service; operators sign it."""
    registry = open_reading(folder)
    with as_caller():
        ca_pem = load_ca(ca)
    entry = ServiceEntry(ca_pem=ca_pem, endpoint=endpoint, public_endpoint=public_endpoint)
    before = registry.repository.published().participants.services.get(service)
    cuts_off = who_is_cut_off(service, before, entry, registry.settings, registry.clock.now())
    proposal = draft_service(registry.repository, registry.proposals, service, entry, cuts_off=cuts_off)
    if cuts_off is not None:
        click.echo(
            f"warning: {cuts_off}. Propose a file with both CAs, old and new, and the new one alone later: "
            "docs/operating.md, Another CA",
            err=True,
        )
    print_proposal(registry, proposal, as_json=as_json, out=out)


@propose.command(
    "renewal",
    examples="""
    trust-registry propose renewal targets --dir registry
    trust-registry propose renewal root --dir registry
    """,
)
@click.argument("role", type=click.Choice(["root", "targets"], case_sensitive=False))
@dir_option
@_out_option
@json_option
def propose_renewal(role: Literal["root", "targets"], folder: Path, out: Path | None, as_json: bool) -> None:
    """Propose to sign root or targets again unchanged, before it expires."""
    registry = open_reading(folder)
    proposal = draft_renewal(registry.repository, registry.proposals, role)
    print_proposal(registry, proposal, as_json=as_json, out=out)


def carry_proposal(registry: Registry, reference: str) -> CarriedProposal:
    """A proposal of this registry, ready to carry; `reference` is its id or the first digits."""
    return carry(
        registry.proposals.find(reference), registry.repository.published(), key_holder_names(registry.folder)
    )


def describe_here(registry: Registry, proposal: Proposal) -> dict[str, Any]:
    """As describe_proposal, for a proposal of this registry."""
    return describe_proposal(
        proposal, registry.repository.published(), registry.settings.realm, key_holder_names(registry.folder)
    )


def print_proposal(registry: Registry, proposal: Proposal, *, as_json: bool, out: Path | None = None) -> None:
    """Prints a proposal of this registry, and writes it to `out` to carry."""
    data = describe_here(registry, proposal)
    if out is not None:
        carried = encode_carried_proposal(carry_proposal(registry, proposal.id))
        with as_caller():
            save_file(out, carried)
        data["file"] = str(out)
    print_result(data, as_json=as_json, table=describe_table)
