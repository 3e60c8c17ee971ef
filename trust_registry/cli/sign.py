"""What waits for signatures: showing, signing, collecting, publishing."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result, rows
from healthcode.storage.files import save_file
from trust_registry.cli.areas import (
    collect_areas,
    describe_areas,
    holds_areas,
    read_areas,
    sign_areas,
)
from trust_registry.cli.ceremony import collect_founding, tell_founding
from trust_registry.cli.describe import (
    carried_from,
    describe_carried,
    describe_table,
    key_names,
    next_after_signing,
    sign_carried,
    warn_of_bootstrap,
)
from trust_registry.cli.option import (
    ask_to_sign,
    dir_option,
    open_key,
    open_reading,
    open_writing,
    show_changes,
    signing_options,
    signing_purposes,
)
from trust_registry.cli.propose import carry_proposal, describe_here, print_proposal
from trust_registry.proposals.in_force import encode_carried
from trust_registry.proposals.key_holders import holder_names
from trust_registry.proposals.proposal import ProposalState
from trust_registry.proposals.sign import changes_of, publish_proposal, sign_proposal, take_signatures

__all__ = ["collect", "proposals", "publish", "show", "sign"]


@click.command(cls=Command, examples="trust-registry proposals --dir registry")
@dir_option
@click.option("--all", "with_done", is_flag=True, help="Also those that are published or stale.")
@json_option
def proposals(folder: Path, with_done: bool, as_json: bool) -> None:
    """List what waits for signatures; a realm that is being founded, too."""
    if tell_founding(folder, as_json=as_json):
        return
    registry = open_reading(folder)
    lines = [describe_here(registry, proposal) for proposal in registry.proposals.all()]
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
    if holds_areas(Path(reference)):
        areas = read_areas(Path(reference))
        if not as_json:
            show_changes("the risk of areas", areas.changes())
        data = {**describe_areas(areas), "changes": [str(change) for change in areas.changes()]}
        print_result(data, as_json=as_json, table=details)
        return
    carried = (
        carried_from(reference)
        if Path(reference).is_file()
        else carry_proposal(open_reading(folder), reference)
    )
    changes = changes_of(carried.proposal, carried.basis)
    if not as_json:
        names = key_names(carried.proposal, carried.basis, carried.names)
        show_changes(carried.proposal.title, changes, names=names, digest=carried.proposal.digest)
    if out is not None:
        save_file(out, encode_carried(carried))
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
    if holds_areas(Path(reference)):
        areas = sign_areas(Path(reference), out, key_path, passphrase_file, yes=yes, quiet=as_json)
        print_result(describe_areas(areas), as_json=as_json, table=details)
        return
    if Path(reference).is_file():
        carried = sign_carried(Path(reference), out, key_path, passphrase_file, yes=yes, quiet=as_json)
        data = describe_carried(carried)
        data["next"] = next_after_signing(carried, out or Path(reference))
        print_result(data, as_json=as_json, table=describe_table)
        return
    registry = open_writing(folder)
    proposal = registry.proposals.find(reference)
    changes = changes_of(proposal, registry.repository.published())
    if not as_json:
        show_changes(
            f"You sign, in realm {registry.settings.realm}: {proposal.title}",
            changes,
            names=key_names(proposal, registry.repository.published(), holder_names(registry.folder)),
            digest=proposal.digest,
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
    signing = sign_proposal(registry.repository, registry.proposals, proposal.id, key.private)
    data = {**describe_here(registry, signing.proposal), "signed_by": key.info.name}
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
    if any(holds_areas(file) for file in files):
        print_result(collect_areas(open_writing(folder), files), as_json=as_json, table=details)
        return
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
    data = {**describe_here(registry, registry.proposals.find(proposal_id)), "taken": added}
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
