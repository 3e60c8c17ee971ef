"""`joins` and `approve`: requests to be admitted, and the operators who admit participants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from healthcode.cli.console import Command, details, error_console, json_option, print_result, rows
from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, InvalidInputError
from healthcode.identity.realm import is_test_realm
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.owner import as_caller
from trust_registry.cli.describe import key_names
from trust_registry.cli.option import (
    dir_option,
    open_key,
    open_reading,
    open_writing,
    show_changes,
    signing_options,
)
from trust_registry.participants.join import Join, is_admitted
from trust_registry.proposals.drafts import draft_admission
from trust_registry.proposals.key_holders import key_holder_names
from trust_registry.proposals.sign import sign_proposal
from trust_registry.proposals.signed_documents import changes_of
from trust_registry.registry import Registry
from trust_registry.tree.current import Published

__all__ = ["approve", "find_join", "joins"]

_LONG_REFERENCE = 16


@click.command(
    cls=Command,
    examples="""
    trust-registry joins --dir registry
    trust-registry joins --dir registry --discard 7d3f0a61
    """,
)
@dir_option
@click.option("--discard", metavar="DIGEST", help="Remove a request that is not from whom it claims.")
@click.option("--all", "with_done", is_flag=True, help="Include approved requests.")
@json_option
def joins(folder: Path, discard: str | None, with_done: bool, as_json: bool) -> None:
    """List the requests to be admitted, with the digest that each province reads out."""
    registry = open_reading(folder)
    if discard is not None:
        registry.joins.discard(registry.joins.find(discard))
    published = registry.repository.published()
    lines = []
    for join in registry.joins.all():
        line = _describe(join, published)
        if is_admitted(join, published):
            if not with_done:
                continue
            line["state"] = "APPROVED"
        else:
            try:
                join.verify(published, registry.clock.now(), on_arrival=True)
                line["state"] = "NEEDS ROOT" if join.needs_root(published) else "WAITING"
            except HealthcodeError as error:
                line["state"] = f"REFUSED: {error.message}"
        lines.append(line)
    empty = "there are no requests" + ("" if with_done else "; --all shows approved ones")
    print_result({"joins": lines}, as_json=as_json, table=lambda data: _tell(data["joins"], empty))


@click.command(
    cls=Command,
    examples="""
    # the first operator, then the second, each at the registry's machine with their own key
    trust-registry approve 31 --dir registry --key /media/usb/operator-1.key
    trust-registry approve 31 --dir registry --key /media/usb/operator-2.key
    # several at once; a request in a carried file
    trust-registry approve 11 31 44 --key /media/usb/operator-1.key
    trust-registry approve /media/usb/join-31.json --key /media/usb/operator-1.key
    """,
)
@click.argument("requests", nargs=-1, required=True, metavar="REQUEST…")
@dir_option
@signing_options
@json_option
def approve(
    requests: tuple[str, ...],
    folder: Path,
    key_path: Path,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Admit participants: sign the delegation to their authorities, as an operator.

    REQUEST is a participant's code, the digest of its request (or its first digits), or the
    request's file. At the operators' threshold it is published at once.
    """
    registry = open_writing(folder)
    found = [find_join(registry, reference) for reference in requests]
    if yes and not is_test_realm(registry.settings.realm):
        _demand_digests(requests)
    proposal = draft_admission(registry.repository, registry.proposals, found)
    published = registry.repository.published()
    changes = changes_of(proposal, published)
    if not as_json:
        for join in found:
            error_console().print(details(_describe(join, published)))
        show_changes(
            f"You sign, in realm {registry.settings.realm}: {proposal.title}",
            changes,
            names=key_names(proposal, published, key_holder_names(registry.folder)),
            digest=proposal.digest,
        )
    if not yes:
        digests = ", ".join(f"{join.digest} ({_named(join, published)})" for join in found)
        click.confirm(
            f"Did each province read out this same digest to you, over a line that you trust: {digests}?",
            abort=True,
            err=True,
        )
    key = open_key(
        key_path,
        passphrase_file,
        realm=registry.settings.realm,
        purposes=frozenset({KeyPurpose.OPERATOR}),
        folder=folder,
    )
    signing = sign_proposal(registry.repository, registry.proposals, proposal.id, key.private)
    result: dict[str, Any] = {
        "proposal": proposal.id,
        "digest": f"sha256:{proposal.digest}",
        "participants": [join.request.participant for join in found],
        "digests": [join.digest for join in found],
        "signed_by": key.info.name,
        "signatures": signing.tally.signatures,
        "threshold": signing.tally.threshold,
        "published": signing.receipt is not None,
        "targets_version": proposal.version,
        "snapshot_version": signing.receipt.snapshot_version if signing.receipt else None,
    }
    print_result(result, as_json=as_json, table=details)


def find_join(registry: Registry, reference: str) -> Join:
    """The request that `reference` names; a file is verified and kept first."""
    path = Path(reference)
    if path.suffix == ".json" or len(path.parts) > 1:
        try:
            with as_caller():
                data = path.read_bytes()
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
        join = Join.decode(data)
        join.verify(registry.repository.published(), registry.clock.now(), on_arrival=True)
        registry.joins.put(join, bounded=False)
        return join
    return registry.joins.find(reference, registry.repository.published())


def _tell(lines: Sequence[Mapping[str, Any]], empty: str) -> Group:
    """One line for each request, and the digest that root holders will see if it needs their consent."""
    columns = ("participant", "title", "state", "authority", "digest")
    return Group(
        rows(columns, lines, empty=empty),
        *(
            Text(
                f"root must consent to {line['link_digest']}; root holders see the same digest when they sign",
                style="yellow",
            )
            for line in lines
            if line["state"] == "NEEDS ROOT"
        ),
    )


def _demand_digests(references: tuple[str, ...]) -> None:
    for reference in references:
        if len(reference) < _LONG_REFERENCE:
            raise InvalidInputError(
                f"with --yes, outside test realms, name each request by its digest ({_LONG_REFERENCE} digits or "
                "more), as the province read it out"
            )


def _named(join: Join, published: Published) -> str:
    how = join.effect(published)
    return f"{join.title} {how}" if how else join.title


def _describe(join: Join, published: Published) -> dict[str, Any]:
    link = join.request.link
    return {
        "participant": join.request.participant,
        "title": join.title,
        "digest": join.digest,
        "authority": f"{link.threshold} of {len(link.keys)} keys"
        + (f"; {how}" if (how := join.effect(published)) else ""),
        "link_digest": None
        if link.seq == 1
        else f"{join.request.participant}/{link.seq}: {join.link_digest(published).hex()}",
        "authority_kids": [kid(key).hex() for key in link.keys],
        "endpoints": sorted(join.endpoints.values()),
        "made": rfc3339(link.created),
    }
