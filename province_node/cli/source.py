"""`province-node source`: who may send evidence. The running node takes a change at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from healthcode.cli.console import CommandGroup, details, json_option, print_result, rows
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.rpc.mtls.certificate import MAX_PEM_BYTES
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.mtls.tls_files import CertifiedKey, load_ca
from healthcode.settings import local_address
from healthcode.storage.owner import as_caller
from healthcode.storage.reading import read_named
from province_node.cli.option import dir_option
from province_node.cli.source_folder import SOURCE_FILE, write_source
from province_node.people.source_registration import check_source, new_source
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.store.opening import open_store
from province_node.store.people_protocols import SourceStore
from province_node.store.people_records import Source, SourceState

__all__ = ["source"]

_LEAF_DAYS = 365
_COLUMNS = ("source", "state", "unit", "kinds", "since", "public_key")
_KINDS = [kind for kind in EvidenceKind if kind is not EvidenceKind.ORDER]


@click.group(
    cls=CommandGroup,
    examples="""
    province-node source list --dir node-31
    province-node source suspend --dir node-31 laboratory
    """,
)
def source() -> None:
    """Register, suspend and list the sources that send evidence."""


@source.command(
    examples="""
    province-node source add --dir node-31 laboratory --unit "Municipal CDC" --kind TEST --certificate laboratory.pem
    # in a test realm: key and certificate are made here, in a folder for `evidence import --as`
    province-node source add --dir node-31 laboratory --unit "Municipal CDC" --kind TEST --kind VACCINATION \\
        --development laboratory
    """
)
@dir_option("The node's folder.")
@click.argument("name")
@click.option("--unit", required=True, help="Who answers for the source, such as an office or a hospital.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    required=True,
    type=click.Choice(_KINDS, case_sensitive=False),
    help="A kind of evidence that it may send; several times for several. PUSH only at 00.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Its certificate, as your PKI issued it. The public key is registered.",
)
@click.option(
    "--development",
    "made",
    type=click.Path(path_type=Path, file_okay=False),
    help="For a test realm: make key and certificate in this folder.",
)
@json_option
def add(
    root: Path,
    name: str,
    unit: str,
    kinds: Sequence[str],
    certificate: Path | None,
    made: Path | None,
    as_json: bool,
) -> None:
    """Register a source, in force at once; again for another key, unit or kinds, or after `suspend`.

    The certificate has the URI spiffe://REALM.healthcode/source/NN/NAME. A certificate in the same name with
    another key is refused until it is registered.
    """
    if (certificate is None) == (made is None):
        raise click.UsageError(
            "name the certificate with --certificate (in a test realm, or --development FOLDER)"
        )
    settings, now = load_node_settings(root), SystemClock().now()
    peer = PeerId(settings.realm, PeerKind.SOURCE, settings.participant, name)
    words = [EvidenceKind(kind.upper()) for kind in kinds]
    if made is not None:
        check_source(peer, unit, words)  # before files are made
        pem = _make(root, settings, peer, made, now)
    else:
        pem = read_named(certificate or Path(), MAX_PEM_BYTES)
    new = new_source(peer, pem, ca_pem=load_ca(settings.tls.ca), unit=unit, kinds=words)
    with _sources(settings) as sources:
        before = sources.find_source(name)
        sources.add_source(new, now)
        shown = _row(sources.find_source(name) or new)
    folder = {} if made is None else {"folder": str(made)}
    print_result({**shown, "before": _before(before, new), **folder}, as_json=as_json, table=details)


@source.command(examples="province-node source suspend --dir node-31 laboratory")
@dir_option("The node's folder.")
@click.argument("name")
@json_option
def suspend(root: Path, name: str, as_json: bool) -> None:
    """Take no more evidence of a source, from now on. What it sent goes on to count: see `evidence withdraw`.

    Undone by `source add`.
    """
    settings = load_node_settings(root)
    with _sources(settings) as sources:
        sources.set_source_state(name, SourceState.SUSPENDED, SystemClock().now())
        found = sources.find_source(name)
    print_result({} if found is None else _row(found), as_json=as_json, table=details)


@source.command("list", examples="province-node source list --dir node-31 --json")
@dir_option("The node's folder.")
@json_option
def list_(root: Path, as_json: bool) -> None:
    """List the registered sources."""
    with _sources(load_node_settings(root)) as sources:
        found = [_row(each) for each in sources.sources()]
    print_result(found, as_json=as_json, table=lambda data: rows(_COLUMNS, data))


@contextmanager
def _sources(settings: NodeSettings) -> Iterator[SourceStore]:
    store = open_store(settings.database)
    try:
        yield store.sources
    finally:
        store.close()


def _row(one: Source) -> dict[str, Any]:
    return {
        "source": one.name,
        "state": str(one.state),
        "unit": one.unit,
        "kinds": ", ".join(sorted(one.kinds)),
        "since": rfc3339(one.since),
        "public_key": one.public_key,
    }


def _before(before: Source | None, new: Source) -> str:
    if before is None:
        return "not registered"
    changes = [
        word
        for word, differs in (
            ("another key", before.public_key != new.public_key),
            ("another unit", before.unit != new.unit),
            ("other kinds", before.kinds != new.kinds),
            ("suspended", before.state is SourceState.SUSPENDED),
        )
        if differs
    ]
    return ", ".join(changes) or "the same"


def _make(root: Path, settings: NodeSettings, peer: PeerId, made: Path, now: int) -> bytes:
    """Makes a source's folder with the development CA of the node; its certificate."""
    tls = NodeFolder(root).tls
    if not (tls / "ca.key").exists():
        raise ConfigurationError(
            f"{tls} has no CA key: --development is for nodes that were made with it. Have your PKI issue a certificate "
            f"with URI:{peer.uri}, and name it with --certificate"
        )
    ca = CertifiedKey((tls / "ca.pem").read_bytes(), (tls / "ca.key").read_bytes())
    leaf = issue_leaf(ca, peer, days=_LEAF_DAYS, now=now)
    with as_caller():
        if (made / SOURCE_FILE).exists():
            raise ConfigurationError(f"{made} is a source's folder already: choose another one")
        write_source(made, leaf, ca_pem=ca.certificate_pem, node=local_address(settings.issuer_listen))
    return leaf.certificate_pem
