"""`province-node entry` and `chain`: show what the trust files say about this province."""

from __future__ import annotations

from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result, rows
from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, InvalidInputError
from healthcode.signing.ed25519 import kid
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller
from healthcode.trust.format.json_files import AuthorityLink
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.accepted_chain import listed_chain
from province_node.authority.handover import encode_link
from province_node.cli.option import dir_option
from province_node.publishing.own_entry import accept_entry, entry_of, read_entry_state
from province_node.publishing.own_head import next_step
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["chain", "entry", "read_own_chain"]


@click.command(
    cls=Command,
    examples="""
    province-node entry --dir node-31
    # after a person has checked the entry and found it right
    province-node entry --dir node-31 --accept
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--accept", is_flag=True, help="End the alarms: you have checked that the published entry is right."
)
@json_option
def entry(root: Path, accept: bool, as_json: bool) -> None:
    """Show this province's entry in the trust files, and whether this node made it."""
    settings = load_node_settings(root)
    folder = settings.trust.folder
    view = TrustStore.open(folder).view
    issuer, found = view.issuers.get(settings.participant), entry_of(view, settings.participant)
    entry_state = accept_entry(folder, found) if accept else read_entry_state(folder)
    result = {
        "participant": settings.participant,
        "link": None if found is None else found.link_seq,
        "province_version": None if found is None else found.version,
        "head_version": None if issuer is None else issuer.live_version,
        "alarm": entry_state.alarm,
        "head_alarm": entry_state.head_alarm,
        "next": next_step(entry_state),
    }
    print_result(result, as_json=as_json, table=details)


@click.command(
    cls=Command,
    examples="""
    # authority and its folder are lost: the new authority names its predecessor with this file
    province-node chain --dir node-31 --out chain.json
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the last link to this file."
)
@json_option
def chain(root: Path, out: Path | None, as_json: bool) -> None:
    """Show this province's authority chain, and write its last link for `authority init --after`."""
    settings = load_node_settings(root)
    links = read_own_chain(settings)
    if not links:
        raise InvalidInputError(
            "this province has no authority in the trust files: run `province-node join` first"
        )
    if out is not None:
        with as_caller():
            write_output(out, encode_link(links[-1], realm=settings.realm, participant=settings.participant))
    lines = [
        {
            "link": link.seq,
            "threshold": f"{link.threshold} of {len(link.keys)}",
            "keys": ", ".join(kid(key).hex() for key in link.keys),
            "created": rfc3339(link.created),
            "handover": "first" if link.seq == 1 else "root's word" if not link.handover else "signed",
        }
        for link in links
    ]
    columns = ("link", "threshold", "keys", "created", "handover")
    print_result(lines, as_json=as_json, table=lambda data: rows(columns, data))


def read_own_chain(settings: NodeSettings) -> tuple[AuthorityLink, ...]:
    """This participant's authority chain in the node's trust files; empty before admission."""
    try:
        national = TrustStore.open(settings.trust.folder).state.national
    except HealthcodeError:
        return ()
    return listed_chain(national.participants, settings.participant)
