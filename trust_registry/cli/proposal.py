"""What waits for signatures: making, showing, signing, publishing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from healthcode.cli.console import Command, CommandGroup, json_option, print_result, rows
from healthcode.cli.parameter import ENDPOINT
from healthcode.errors import InvalidInputError
from healthcode.rpc.certificate import load_ca
from healthcode.trust.document import ServiceEntry
from trust_registry.app import Registry
from trust_registry.approval import changes_of, publish_proposal, sign_proposal, take_signatures
from trust_registry.basis import Carried, carry, encode_carried
from trust_registry.cli.carried import (
    carried_from,
    describe_carried,
    describe_proposal,
    describe_table,
    sign_carried,
)
from trust_registry.cli.founding import collect_founding
from trust_registry.cli.option import (
    dir_option,
    open_key,
    open_reading,
    open_writing,
    show_changes,
    signing_options,
    signing_purposes,
)
from trust_registry.draft import draft_policy, draft_renewal, draft_service
from trust_registry.durable import write_file
from trust_registry.holder import holder_names
from trust_registry.proposal import Proposal, ProposalState

__all__ = ["collect", "print_proposal", "proposals", "propose", "publish", "show", "sign"]


@click.group(
    cls=CommandGroup,
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
    empty = "there is no proposal" if with_done else "nothing waits for signatures; --all shows what did"
    print_result(
        {"proposals": lines},
        as_json=as_json,
        table=lambda data: rows(columns, data["proposals"], empty=empty),
    )


@click.command(
    cls=Command,
    examples="""
    trust-registry show 3fa9c2 --dir registry
    # on a stick, for a holder's machine, where `trust-registry sign FILE` needs nothing else
    trust-registry show 3fa9c2 --dir registry --out /media/usb/proposal.json
    # what a file that was carried would change; without a registry
    trust-registry show /media/usb/proposal.json
    """,
)
@click.argument("reference", metavar="PROPOSAL|FILE")
@dir_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there, to be carried.")
@json_option
def show(reference: str, folder: Path, out: Path | None, as_json: bool) -> None:
    """Show all that a proposal would change, value by value, and who has signed."""
    carried = (
        carried_from(reference) if Path(reference).is_file() else _carry(open_reading(folder), reference)
    )
    changes = changes_of(carried.proposal, carried.basis)
    if not as_json:
        show_changes(carried.proposal.title, changes)
    if out is not None:
        write_file(out, encode_carried(carried))
    data = {**describe_carried(carried), "file": None if out is None else str(out)}
    data["changes"] = [str(change) for change in changes]
    print_result(data, as_json=as_json, table=describe_table)


@click.command(
    cls=Command,
    examples="""
    # on the registry's machine
    trust-registry sign 3fa9c2 --dir registry --key /media/usb/operator-1.key
    # on a holder's own machine: a file came, the signature goes back in it
    trust-registry sign /media/usb/proposal.json --key root-1.key
    """,
)
@click.argument("reference", metavar="PROPOSAL|FILE")
@dir_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the signed file goes; over the one that came, if left out.",
)
@signing_options
@json_option
def sign(
    reference: str,
    folder: Path,
    out: Path | None,
    key_path: Path,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign a proposal, as an operator or root holder; at the threshold it is published at once.

    With a FILE that was carried, no registry is needed here; take the file back, and
    `trust-registry collect` it there.
    """
    if Path(reference).is_file():
        carried = sign_carried(Path(reference), out, key_path, passphrase_file, yes=yes, quiet=as_json)
        print_result(describe_carried(carried), as_json=as_json, table=describe_table)
        return
    registry = open_writing(folder)
    proposal = registry.proposals.find(reference)
    changes = changes_of(proposal, registry.repository.published())
    if not as_json:
        show_changes(f"You sign, in realm {registry.settings.realm}: {proposal.title}", changes)
    if not yes:
        click.confirm("Sign exactly this?", abort=True, err=True)
    key = open_key(
        key_path,
        passphrase_file,
        realm=registry.settings.realm,
        purposes=signing_purposes(proposal),
        folder=folder,
    )
    signing = sign_proposal(registry.repository, registry.proposals, proposal.id, key.private)
    data: dict[str, Any] = {**_describe(registry, signing.proposal), "signed_by": key.info.name}
    print_result(data, as_json=as_json, table=describe_table)


@click.command(
    cls=Command,
    examples="""
    trust-registry collect /media/usb/proposal.json --dir registry
    # each holder signed a copy of their own
    trust-registry collect root-1.json root-2.json root-4.json --dir registry
    """,
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@dir_option
@json_option
def collect(files: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Take over signatures from files that were carried; at the threshold it is published at once.

    May be done again, and file by file over days: what was taken stays.
    """
    founded = collect_founding(files, folder)
    if founded is not None:
        print_result(founded, as_json=as_json, table=describe_table)
        return
    registry = open_writing(folder)
    names = holder_names(registry.folder)
    added: list[str] = []
    proposal_id = ""
    for file in files:
        carried = carried_from(str(file))
        signing, found = take_signatures(registry.repository, registry.proposals, carried.proposal, names)
        proposal_id, added = signing.proposal.id, [*added, *found]
    data = {**_describe(registry, registry.proposals.find(proposal_id)), "taken": added}
    print_result(data, as_json=as_json, table=describe_table)


@click.command(cls=Command, examples="trust-registry publish 3fa9c2 --dir registry")
@click.argument("proposal_id", metavar="PROPOSAL")
@dir_option
@json_option
def publish(proposal_id: str, folder: Path, as_json: bool) -> None:
    """Publish a proposal that has its signatures (a server that runs does so by itself)."""
    registry = open_writing(folder)
    publish_proposal(registry.repository, registry.proposals, proposal_id)
    print_proposal(registry, registry.proposals.find(proposal_id), as_json=as_json)


def _carry(registry: Registry, reference: str) -> Carried:
    return carry(
        registry.proposals.find(reference), registry.repository.published(), holder_names(registry.folder)
    )


def _describe(registry: Registry, proposal: Proposal) -> dict[str, Any]:
    return describe_proposal(
        proposal, registry.repository.published(), registry.settings.realm, holder_names(registry.folder)
    )


def print_proposal(registry: Registry, proposal: Proposal, *, as_json: bool, out: Path | None = None) -> None:
    data = _describe(registry, proposal)
    if out is not None:
        write_file(out, encode_carried(_carry(registry, proposal.id)))
        data["file"] = str(out)
    print_result(data, as_json=as_json, table=describe_table)
