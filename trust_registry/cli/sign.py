"""`proposals`, `show`, `sign`, `collect`, `publish`: from a proposal to its publication."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from healthcode.cli.console import Command, details, json_option, print_result, rows
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import is_named_file
from trust_registry.cli.carried_areas import (
    approve_carried_areas,
    collect_carried_areas,
    describe_carried_areas,
    is_carried_areas_file,
    read_carried_areas,
)
from trust_registry.cli.carried_proposal import (
    check_reference,
    describe_carried_proposal,
    next_after_signing,
    read_carried_proposal,
    sign_carried_proposal,
)
from trust_registry.cli.describe import describe_table, key_names, warn_of_bootstrap
from trust_registry.cli.founding import collect_founding, print_founding
from trust_registry.cli.option import (
    ask_to_sign,
    dir_option,
    full_option,
    open_key,
    open_reading,
    open_writing,
    show_changes,
    signing_options,
    signing_purposes,
)
from trust_registry.cli.propose import carry_proposal, describe_here, print_proposal
from trust_registry.proposals.in_force import encode_carried_proposal
from trust_registry.proposals.key_holders import key_holder_names
from trust_registry.proposals.proposal import ProposalState
from trust_registry.proposals.publish import publish_proposal
from trust_registry.proposals.sign import sign_proposal, take_signatures
from trust_registry.proposals.signed_documents import changes_of, policy_summary

__all__ = ["collect", "proposals", "publish", "show", "sign"]


@click.command(cls=Command, examples="trust-registry proposals --dir registry")
@dir_option
@click.option("--all", "with_done", is_flag=True, help="Include published and stale proposals.")
@json_option
def proposals(folder: Path, with_done: bool, as_json: bool) -> None:
    """List the proposals that wait for signatures, or the founding of a realm."""
    if print_founding(folder, as_json=as_json):
        return
    registry = open_reading(folder)
    lines = [describe_here(registry, proposal) for proposal in registry.proposals.all()]
    if not with_done:
        lines = [line for line in lines if line["state"] == ProposalState.OPEN]
    columns = ("proposal", "title", "role", "version", "state", "signatures", "threshold", "created")
    empty = (
        "there are no proposals" if with_done else "no proposal waits for signatures; --all shows the others"
    )
    print_result(
        {"proposals": lines},
        as_json=as_json,
        table=lambda data: rows(columns, data["proposals"], empty=empty),
    )


@click.command(
    cls=Command,
    examples="""
    trust-registry show 3fa9c2 --dir registry
    # to a USB stick, for a key holder's machine, where `trust-registry sign FILE` needs nothing else
    trust-registry show 3fa9c2 --dir registry --out /media/usb/proposal.json
    # the changes in a carried file, without a registry
    trust-registry show /media/usb/proposal.json
    """,
)
@click.argument("reference", metavar="PROPOSAL|FILE")
@dir_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the file to carry."
)
@full_option
@json_option
def show(reference: str, folder: Path, out: Path | None, full: bool, as_json: bool) -> None:
    """Show what a proposal would change, and who has signed."""
    if is_carried_areas_file(Path(reference)):
        areas = read_carried_areas(Path(reference))
        if not as_json:
            show_changes("the risk of areas", areas.changes(), summary=areas.summary(), full=full)
        data = {
            **describe_carried_areas(areas),
            "summary": list(areas.summary().lines),
            "changes": [str(change) for change in areas.changes()],
        }
        print_result(data, as_json=as_json, table=_without_changes)
        return
    if is_named_file(Path(reference)):
        carried = read_carried_proposal(Path(reference))
    else:
        check_reference(reference)
        carried = carry_proposal(open_reading(folder), reference)
    changes = changes_of(carried.proposal, carried.in_force)
    summary = policy_summary(carried.proposal, carried.in_force)
    if not as_json:
        names = key_names(carried.proposal, carried.in_force, carried.names)
        show_changes(
            carried.proposal.title,
            changes,
            names=names,
            digest=carried.proposal.digest,
            summary=summary,
            full=full,
        )
    if out is not None:
        with as_caller():
            save_file(out, encode_carried_proposal(carried))
    data = {**describe_carried_proposal(carried), "file": None if out is None else str(out)}
    data["summary"] = [] if summary is None else list(summary.lines)
    data["changes"] = [str(change) for change in changes]
    print_result(data, as_json=as_json, table=describe_table)


def _without_changes(data: Mapping[str, Any]) -> RenderableType:
    return details({name: value for name, value in data.items() if name not in {"summary", "changes"}})


@click.command(
    cls=Command,
    examples="""
    # on the registry's machine
    trust-registry sign 3fa9c2 --dir registry --key /media/usb/operator-1.key
    # on a key holder's own machine: the signature is written into the carried file
    trust-registry sign /media/usb/proposal.json --key root-1.key
    """,
)
@click.argument("reference", metavar="PROPOSAL|FILE")
@dir_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the signed file; over the carried one if left out.",
)
@signing_options
@full_option
@json_option
def sign(
    reference: str,
    folder: Path,
    out: Path | None,
    key_path: Path,
    passphrase_file: Path | None,
    yes: bool,
    full: bool,
    as_json: bool,
) -> None:
    """Sign a proposal, as an operator or root holder. At the threshold it is published at once.

    A carried FILE needs no registry on this machine: carry it back after signing, and run
    `trust-registry collect` there.
    """
    file = Path(reference)
    if is_carried_areas_file(file):
        areas = approve_carried_areas(file, out, key_path, passphrase_file, yes=yes, quiet=as_json, full=full)
        print_result(describe_carried_areas(areas), as_json=as_json, table=details)
        return
    if is_named_file(file):
        carried = sign_carried_proposal(
            file, out, key_path, passphrase_file, yes=yes, quiet=as_json, full=full
        )
        data = describe_carried_proposal(carried)
        data["next"] = next_after_signing(carried, out or file)
    else:
        data = _sign_here(reference, folder, key_path, passphrase_file, yes=yes, quiet=as_json, full=full)
    print_result(data, as_json=as_json, table=describe_table)


def _sign_here(
    reference: str,
    folder: Path,
    key_path: Path,
    passphrase_file: Path | None,
    *,
    yes: bool,
    quiet: bool,
    full: bool,
) -> dict[str, Any]:
    """Shows the changes in a proposal of this registry, asks, and signs it."""
    check_reference(reference)
    registry = open_writing(folder)
    proposal = registry.proposals.find(reference)
    published = registry.repository.published()
    changes = changes_of(proposal, published)
    if not quiet:
        show_changes(
            f"You sign, in realm {registry.settings.realm}: {proposal.title}",
            changes,
            names=key_names(proposal, published, key_holder_names(registry.folder)),
            digest=proposal.digest,
            summary=policy_summary(proposal, published),
            full=full,
        )
        warn_of_bootstrap(proposal)
    if not yes:
        ask_to_sign(proposal.digest)
    key = open_key(
        key_path,
        passphrase_file,
        realm=registry.settings.realm,
        purposes=signing_purposes(proposal),
        folder=folder,
    )
    result = sign_proposal(registry.repository, registry.proposals, proposal.id, key.private)
    return {**describe_here(registry, result.proposal), "signed_by": key.info.name}


@click.command(
    cls=Command,
    examples="""
    trust-registry collect /media/usb/proposal.json --dir registry
    # each key holder signed their own copy
    trust-registry collect root-1.json root-2.json root-4.json --dir registry
    """,
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@dir_option
@json_option
def collect(files: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Add the signatures in carried files. At the threshold the proposal is published at once.

    You can repeat this with further files over days: collected signatures are kept.
    """
    if any(is_carried_areas_file(file) for file in files):
        print_result(collect_carried_areas(open_writing(folder), files), as_json=as_json, table=details)
        return
    founded = collect_founding(files, folder)
    if founded is not None:
        print_result(founded, as_json=as_json, table=describe_table)
        return
    registry = open_writing(folder)
    names = key_holder_names(registry.folder)
    added: list[str] = []
    proposal_id = ""
    for file in files:
        carried = read_carried_proposal(file)
        result, found = take_signatures(registry.repository, registry.proposals, carried.proposal, names)
        proposal_id, added = result.proposal.id, [*added, *found]
    data = {**describe_here(registry, registry.proposals.find(proposal_id)), "taken": added}
    print_result(data, as_json=as_json, table=describe_table)


@click.command(cls=Command, examples="trust-registry publish 3fa9c2 --dir registry")
@click.argument("proposal_id", metavar="PROPOSAL")
@dir_option
@json_option
def publish(proposal_id: str, folder: Path, as_json: bool) -> None:
    """Publish a proposal that has its signatures; a running server does so without this command."""
    registry = open_writing(folder)
    publish_proposal(registry.repository, registry.proposals, proposal_id)
    print_proposal(registry, registry.proposals.find(proposal_id), as_json=as_json)
