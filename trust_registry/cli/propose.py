"""`trust-registry propose`: putting something up for signature; `signature` has what comes after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Group

from healthcode.cli.console import Command, CommandGroup, details, json_option, print_result, rows
from healthcode.cli.parameter import ENDPOINT
from healthcode.errors import InvalidInputError
from healthcode.policy.book_file import decode_policy
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.service.deadline import describe_policy
from healthcode.storage.files import save_file
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.format.layout import POLICY_PATH
from trust_registry.cli.describe import (
    describe_proposal,
    describe_table,
)
from trust_registry.cli.option import (
    dir_option,
    open_reading,
)
from trust_registry.proposals.drafts import draft_policy, draft_renewal, draft_service
from trust_registry.proposals.in_force import Carried, carry, encode_carried
from trust_registry.proposals.key_holders import holder_names
from trust_registry.proposals.proposal import Proposal
from trust_registry.registry import Registry

__all__ = ["carry_proposal", "describe_here", "policy", "print_proposal", "propose"]


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
    # then each of those who must sign
    trust-registry sign 3fa9c2 --dir registry --key /media/usb/operator-1.key
    """,
)
def propose() -> None:
    """Put something up for signature: a policy, a service's address, a renewal."""


_out_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there, too, to be carried."
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
@json_option
def propose_policy(file: Path, folder: Path, out: Path | None, as_json: bool) -> None:
    """Propose another policy/national.json, for the operators to sign."""
    registry = open_reading(folder)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
    proposal = draft_policy(registry.repository, registry.proposals, data)
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
    """Propose where a national service is reached and the CA it is known by."""
    registry = open_reading(folder)
    entry = ServiceEntry(ca_pem=load_ca(ca), endpoint=endpoint, public_endpoint=public_endpoint)
    proposal = draft_service(registry.repository, registry.proposals, service, entry)
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
    """Propose to sign root or targets again as they are, before they expire."""
    registry = open_reading(folder)
    proposal = draft_renewal(registry.repository, registry.proposals, role)
    print_proposal(registry, proposal, as_json=as_json, out=out)


def carry_proposal(registry: Registry, reference: str) -> Carried:
    return carry(
        registry.proposals.find(reference), registry.repository.published(), holder_names(registry.folder)
    )


def describe_here(registry: Registry, proposal: Proposal) -> dict[str, Any]:
    return describe_proposal(
        proposal, registry.repository.published(), registry.settings.realm, holder_names(registry.folder)
    )


def print_proposal(registry: Registry, proposal: Proposal, *, as_json: bool, out: Path | None = None) -> None:
    data = describe_here(registry, proposal)
    if out is not None:
        save_file(out, encode_carried(carry_proposal(registry, proposal.id)))
        data["file"] = str(out)
    print_result(data, as_json=as_json, table=describe_table)


# --- was trust_registry/cli/policy.py: The national policy as it is published: to look at, and to begin the next one with.


@click.command(
    cls=Command,
    examples="""
    trust-registry policy --dir registry
    # the present file, to be changed and proposed
    trust-registry policy --dir registry --out national.json
    trust-registry propose policy national.json --dir registry
    """,
)
@dir_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write policy/national.json there."
)
@json_option
def policy(folder: Path, out: Path | None, as_json: bool) -> None:
    """Show which policy is in force and which are to come; write the file out, to be changed."""
    registry = open_reading(folder)
    published = registry.repository.published()
    data = published.file(published.targets, POLICY_PATH)
    if out is not None:
        save_file(out, data)
    shown = {
        "policies": describe_policy(decode_policy(data), registry.clock.now()),
        "file": None if out is None else str(out),
        "next": None if out is None else f"change it, then `trust-registry propose policy {out}`",
    }
    print_result(shown, as_json=as_json, table=_table)


def _table(data: Mapping[str, Any]) -> Group:
    lines = rows(("policy", "effective_from", "note"), data["policies"], title="Policy")
    return Group(lines, details({name: data[name] for name in ("file", "next") if data[name]}))
