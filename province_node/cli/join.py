"""`province-node join` and `publish`: what the authority signed goes to the registry."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result, rows
from healthcode.clock import SystemClock, rfc3339
from healthcode.errors import (
    ConfigurationError,
    ConflictError,
    HealthcodeError,
    InvalidInputError,
    PreconditionError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.client import open_channel
from healthcode.rpc.errors import rpc_errors
from healthcode.rpc.mtls.certificate import load_ca
from healthcode.service.registry_source import connect_source
from healthcode.signing.ed25519 import kid, self_test
from healthcode.storage.files import write_output
from healthcode.storage.reading import read_bounded
from healthcode.trust.client import TrustClient
from healthcode.trust.format.authority_chain import link_digest
from healthcode.trust.format.json_files import AuthorityLink
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.verify.accepted_chain import listed_chain
from healthcode.trust.verify.admission import CurrentProvince
from healthcode.trust.verify.join_request import (
    JoinRequest,
    encode_join_request,
    join_digest,
    verify_join_request,
)
from healthcode.v1 import trust_registry_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from province_node.authority.bundle import decode_bundle, describe_change, missing_signatures, verify_bundle
from province_node.authority.handover import encode_link
from province_node.cli.option import dir_option
from province_node.links import RegistryLink, ServiceLink
from province_node.publishing.own_entry import accept_entry, entry_of, expect_entry, is_newer, read_entry_book
from province_node.publishing.own_head import next_step
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["chain", "chain_in", "entry", "join", "publish"]


MAX_BUNDLE_BYTES = 262_144
_TIMEOUT_SECONDS = 20.0
_SEEN_SECONDS = 5.0
_SETTLE_WAITED_SECONDS = 2


@click.command(
    cls=Command,
    examples="""
    province-node join --dir node-31 --bundle bundle.json
    # without a network: carry the file to the registry's operators by hand
    province-node join --dir node-31 --bundle bundle.json --out join-31.json
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--bundle",
    "bundle_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="What the authority signed.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the request there instead of sending it.",
)
@click.option(
    "--lost-authority",
    is_flag=True,
    help="The authority before is lost and hands nothing over: root must consent, and clients wait 72 hours.",
)
@json_option
def join(root: Path, bundle_file: Path, out: Path | None, lost_authority: bool, as_json: bool) -> None:
    """Begin the trust folder by the root's fingerprint, and ask the operators to be admitted.

    Read the digest that is printed to the operators, by another way than the network;
    they see the same one before they approve.
    """
    self_test()
    settings = load_node_settings(root)
    bundle = _read_bundle(bundle_file, settings)
    data = encode_join_request(bundle)
    state = "written"
    if out is not None:
        _verify_request(bundle, settings, lost_authority=lost_authority)
        expect_entry(settings.trust.folder, bundle)
        write_output(out, data)
    else:
        registry = settings.registry
        ca_pem = load_ca(registry.ca)
        with connect_source(registry.endpoint, ca_pem=ca_pem) as source:
            init_trust(settings.trust.folder, source, registry.root_fingerprint, realm=settings.realm)
            TrustClient(settings.trust.folder, source).refresh(SystemClock().now())
        _verify_request(bundle, settings, lost_authority=lost_authority)
        expect_entry(settings.trust.folder, bundle)
        state = asyncio.run(_submit(settings, ca_pem, data))
    result = {
        "participant": settings.participant,
        "realm": settings.realm,
        "digest": join_digest(data),
        "link_digest": _link_digest(bundle, settings),
        "state": state,
        "file": None if out is None else str(out),
        "next": "read the digest to the operators; when they have approved, `province-node serve`",
    }
    print_result(result, as_json=as_json, table=details)


@click.command(
    cls=Command,
    examples="""
    province-node keys rotate --dir node-31 --purpose LIVE
    # … the authority signs request.json on its own machine …
    province-node publish --dir node-31 --bundle bundle.json
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--bundle",
    "bundle_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="What the authority signed.",
)
@json_option
def publish(root: Path, bundle_file: Path, as_json: bool) -> None:
    """Publish what the authority signed: keys, CA and endpoints of this node.

    Waits a few seconds for a running node to see it, so that new keys are in use
    when the command ends; without one, the node sees it when it starts.
    """
    self_test()
    settings = load_node_settings(root)
    bundle = _read_bundle(bundle_file, settings)
    sent = verify_bundle(bundle, SystemClock().now())
    store = TrustStore.open(settings.trust.folder)
    standing = store.view.issuers.get(settings.participant)
    before = store.state.issuers.get(settings.participant)
    if standing is not None and not is_newer(bundle, standing):
        result = {
            "participant": settings.participant,
            "version": standing.province_version,
            "published": [],
            "next": "nothing was done: this bundle is already published",
        }
        print_result(result, as_json=as_json, table=details)
        return
    _check_admitted(bundle, settings)
    expect_entry(settings.trust.folder, bundle)
    version = asyncio.run(_publish(settings, bundle))
    if version != sent.version:
        raise ConflictError(
            f"version {sent.version} is not the one published, which is {version}: nothing was done"
        )
    seen = _wait_until_seen(settings, version)
    settle = settings.keys.settle_seconds
    result = {
        "participant": settings.participant,
        "version": version,
        "published": describe_change(None if before is None else before.authority, sent)
        or ["no change, a renewal alone"],
        "seen_by_node": seen,
        "next": f"a new key signs {settle} s after the node saw it published, by itself"
        if seen
        else "the node has not seen it yet: does it run? It uses new keys by itself once it does",
    }
    print_result(result, as_json=as_json, table=details)


def _verify_request(bundle: JoinRequest, settings: NodeSettings, *, lost_authority: bool) -> None:
    """Checks a request as the registry will: the first of an authority, or of one that follows another."""
    chain = chain_in(settings)
    if chain and chain[-1] == bundle.link:
        chain = chain[:-1]  # admitted already: asking again is no mistake
    version = decode_metadata(bundle.metadata, Targets).signed.version
    verify_join_request(
        bundle,
        settings.realm,
        SystemClock().now(),
        accepted=chain,
        current=CurrentProvince(version - 1),
        consents=None if lost_authority else {},
    )


def _check_admitted(bundle: JoinRequest, settings: NodeSettings) -> None:
    """Refuses what an authority signed that does not speak for this province, or does not yet. Raises PreconditionError."""
    chain = chain_in(settings)
    if bundle.link not in chain:
        raise PreconditionError(
            f"this authority (link {bundle.link.seq}, kid {kid(bundle.link.keys[0]).hex()} …) is not admitted yet: hand the "
            "bundle in by `province-node join`, and read the digest to the operators"
        )
    if bundle.link != chain[-1]:
        raise PreconditionError(
            f"this authority (link {bundle.link.seq}) has handed over: link {chain[-1].seq} speaks for the province "
            "now. Have that one sign request.json"
        )


def _link_digest(bundle: JoinRequest, settings: NodeSettings) -> str | None:
    """What stands in the root that consents to an authority without handover; None for a first one."""
    link = bundle.link
    before = chain_in(settings)[: link.seq - 1]
    if link.seq == 1 or not before:
        return None
    return f"{bundle.participant}/{link.seq}: {link_digest(bundle.participant, link, before[-1]).hex()}"


def _wait_until_seen(settings: NodeSettings, version: int) -> bool:
    """Whether the running node has taken in its own publication, and short settling times are over."""
    until = time.monotonic() + _SEEN_SECONDS
    while time.monotonic() < until:
        issuer = TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
        if issuer is not None and issuer.province_version >= version:
            if settings.keys.settle_seconds <= _SETTLE_WAITED_SECONDS:
                time.sleep(settings.keys.settle_seconds + 0.5)
            return True
        time.sleep(0.2)
    return False


def _read_bundle(path: Path, settings: NodeSettings) -> JoinRequest:
    bundle = decode_bundle(read_bounded(path, MAX_BUNDLE_BYTES))
    if (bundle.participant, bundle.realm) != (settings.participant, settings.realm):
        raise InvalidInputError(
            f"{path} is for participant {bundle.participant} in realm {bundle.realm}; this node is participant "
            f"{settings.participant} in realm {settings.realm}"
        )
    missing = missing_signatures(bundle)
    if missing:
        raise InvalidInputError(
            f"{path} lacks {missing} {'signature' if missing == 1 else 'signatures'} of the authority: the next holder "
            f"runs `authority sign --bundle {path.name} --out {path.name}`"
        )
    return bundle


async def _submit(settings: NodeSettings, ca_pem: str, data: bytes) -> str:
    registry = PeerId(settings.realm, PeerKind.REGISTRY)
    channel = open_channel(settings.registry.endpoint, ca_pem=ca_pem, server=registry)
    try:
        with rpc_errors(f"the registry {settings.registry.endpoint}"):
            response = await TrustRegistryServiceStub(channel).SubmitJoin(
                trust_registry_pb2.SubmitJoinRequest(join_request=data), timeout=_TIMEOUT_SECONDS
            )
    finally:
        await channel.close()
    if response.request_digest != join_digest(data):
        raise ConfigurationError("the registry acknowledged another digest than was sent: tell its operators")
    name: str = trust_registry_pb2.JoinState.Name(response.state)
    return name.removeprefix("JOIN_STATE_")


async def _publish(settings: NodeSettings, bundle: JoinRequest) -> int:
    clock = SystemClock()
    view = TrustStore.open(settings.trust.folder).view
    link = ServiceLink(
        "registry",
        PeerKind.REGISTRY,
        realm=settings.realm,
        trust=lambda: view,
        tls=settings.tls,
        clock=clock,
    )
    version = decode_metadata(bundle.metadata, Targets).signed.version
    # the same bundle is the same request, so that publishing again after a lost answer is safe
    request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{join_digest(encode_join_request(bundle))}/{version}"))
    try:
        return await RegistryLink(link).publish_province(request_id, bundle.metadata, bundle.province_json)
    finally:
        await link.close()


# --- was province_node/cli/entry.py: `province-node entry` and `chain`: what the trust files say of this province.


@click.command(
    cls=Command,
    examples="""
    province-node entry --dir node-31
    # a person has looked, called who did it, and takes it as it is
    province-node entry --dir node-31 --accept
    """,
)
@dir_option("The node's folder.")
@click.option("--accept", is_flag=True, help="End the alarms: what is published was found to be right.")
@json_option
def entry(root: Path, accept: bool, as_json: bool) -> None:
    """Show what the trust files say of this province, and whether this node asked for it and made it."""
    settings = load_node_settings(root)
    folder = settings.trust.folder
    view = TrustStore.open(folder).view
    issuer, found = view.issuers.get(settings.participant), entry_of(view, settings.participant)
    book = accept_entry(folder, found) if accept else read_entry_book(folder)
    result = {
        "participant": settings.participant,
        "link": None if found is None else found.link_seq,
        "province_version": None if found is None else found.version,
        "head_version": None if issuer is None else issuer.live_version,
        "alarm": book.alarm,
        "head_alarm": book.head_alarm,
        "next": next_step(book),
    }
    print_result(result, as_json=as_json, table=details)


@click.command(
    cls=Command,
    examples="""
    # the authority was lost, and its folder too: a new one says with this which it follows
    province-node chain --dir node-31 --out chain.json
    """,
)
@dir_option("The node's folder.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the last link there.")
@json_option
def chain(root: Path, out: Path | None, as_json: bool) -> None:
    """Show the chain of this province's authorities; write its last link for `authority init --after`."""
    settings = load_node_settings(root)
    links = chain_in(settings)
    if not links:
        raise InvalidInputError("this province has no authority in the trust files yet: it is not admitted")
    if out is not None:
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


def chain_in(settings: NodeSettings) -> tuple[AuthorityLink, ...]:
    """This participant's authority chain, as the trust files of this node list it; empty before it is admitted."""
    try:
        national = TrustStore.open(settings.trust.folder).state.national
    except HealthcodeError:
        return ()
    return listed_chain(national.participants, settings.participant)
