"""Describes an authority, for the output of the authority commands."""

from __future__ import annotations

from healthcode.cli.console import error_console
from healthcode.clock import rfc3339
from healthcode.signing.ed25519 import kid
from healthcode.trust.format.authority_chain import link_digest
from province_node.authority.authority import Authority
from province_node.authority.officers_office import OfficersOffice
from province_node.officers.appointment import describe_officers
from province_node.officers.officers_file import OfficersFile

__all__ = ["authority_link_digest", "describe_authority", "show_officers"]


def describe_authority(made: Authority) -> dict[str, object]:
    link = made.file.link
    return {
        "participant": made.file.participant,
        "realm": made.file.realm,
        "folder": str(made.folder),
        "link": link.seq,
        "threshold": f"{link.threshold} of {len(link.keys)}",
        "keys": [kid(key).hex() for key in link.keys],
        "created": rfc3339(link.created),
        "link_digest": authority_link_digest(made),
    }


def authority_link_digest(made: Authority) -> str | None:
    """The entry that root must sign if the previous authority made no handover; None for a first authority."""
    document = made.file
    if document.link.seq == 1:
        return None
    digest = link_digest(document.participant, document.link, document.previous)
    return f"{document.participant}/{document.link.seq}: {digest.hex()}"


def show_officers(office: OfficersOffice, file: OfficersFile) -> None:
    """Prints who comes, goes and changes, compared with the last complete version in this folder."""
    console = error_console()
    for number, line in enumerate(describe_officers(office.last_complete(before=file.version), file)):
        console.print(line if number == 0 else f"  {line}", markup=False, highlight=False, soft_wrap=True)
