"""`province-node join`: asks the registry's operators to admit this province."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.public_channel import PublicChannel, RegistryCas, trust_in
from healthcode.service.registry_source import connect_source
from healthcode.signing.ed25519 import self_test
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller
from healthcode.trust.client import TrustClient
from healthcode.trust.format.authority_chain import link_digest
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.store import init_trust
from healthcode.trust.verify.admission import CurrentProvince
from healthcode.trust.verify.join_request import (
    JoinRequest,
    encode_join_request,
    join_digest,
    verify_join_request,
)
from healthcode.v1 import trust_registry_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from province_node.cli.entry import read_own_chain
from province_node.cli.option import dir_option
from province_node.cli.signed_bundle import read_signed_bundle
from province_node.publishing.own_entry import expect_entry
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["join"]

_TIMEOUT_SECONDS = 20.0


@click.command(
    cls=Command,
    examples="""
    province-node join --dir node-31 --bundle bundle.json
    # without a network: bring the file to the registry's operators
    province-node join --dir node-31 --bundle bundle.json --out join-31.json
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--bundle",
    "bundle_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The bundle that the authority signed.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the request to this file instead of sending it.",
)
@click.option(
    "--lost-authority",
    is_flag=True,
    help="The previous authority is lost and cannot sign a handover: root must sign, and clients wait 72 hours.",
)
@json_option
def join(root: Path, bundle_file: Path, out: Path | None, lost_authority: bool, as_json: bool) -> None:
    """Make the trust folder from the root's fingerprint, and ask the operators for admission.

    Read the printed digest out to the operators over a trusted line, such as a known telephone
    number. They compare it with the digest that they see before they approve.
    """
    self_test()
    settings = load_node_settings(root)
    bundle = read_signed_bundle(bundle_file, settings)
    data = encode_join_request(bundle)
    state = "written"
    if out is not None:
        _verify_request(bundle, settings, lost_authority=lost_authority)
        expect_entry(settings.trust.folder, bundle)
        with as_caller():
            write_output(out, data)
    else:
        registry = settings.registry
        trust = trust_in(settings.trust.folder)
        with connect_source(registry.endpoint, ca_pem=load_ca(registry.ca), trust=trust) as source:
            init_trust(settings.trust.folder, source, registry.root_fingerprint, realm=settings.realm)
            TrustClient(settings.trust.folder, source).refresh(SystemClock().now())
        _verify_request(bundle, settings, lost_authority=lost_authority)
        expect_entry(settings.trust.folder, bundle)
        state = asyncio.run(_submit(settings, data))
    result = {
        "participant": settings.participant,
        "realm": settings.realm,
        "digest": join_digest(data),
        "link_digest": _link_digest(bundle, settings),
        "state": state,
        "file": None if out is None else str(out),
        "next": "read the digest out to the operators; after they approve, run `province-node serve`",
    }
    print_result(result, as_json=as_json, table=details)


def _verify_request(bundle: JoinRequest, settings: NodeSettings, *, lost_authority: bool) -> None:
    """Makes the registry's checks before the request is sent."""
    chain = read_own_chain(settings)
    if chain and chain[-1] == bundle.link:
        chain = chain[:-1]  # already admitted: a repeated request is allowed
    version = decode_metadata(bundle.metadata, Targets).signed.version
    verify_join_request(
        bundle,
        settings.realm,
        SystemClock().now(),
        accepted=chain,
        current=CurrentProvince(version - 1),
        consents=None if lost_authority else {},
    )


def _link_digest(bundle: JoinRequest, settings: NodeSettings) -> str | None:
    """The entry that root must sign if there is no handover; None for a first authority."""
    link = bundle.link
    before = read_own_chain(settings)[: link.seq - 1]
    if link.seq == 1 or not before:
        return None
    return f"{bundle.participant}/{link.seq}: {link_digest(bundle.participant, link, before[-1]).hex()}"


async def _submit(settings: NodeSettings, data: bytes) -> str:
    # the trust was fetched just now: the CA that it publishes is the one that counts
    cas = RegistryCas(settings.registry.ca, trust_in(settings.trust.folder))
    registry = PeerId(settings.realm, PeerKind.REGISTRY)
    channel = PublicChannel(settings.registry.endpoint, cas.pem, registry)
    try:
        with rpc_errors(f"the registry {settings.registry.endpoint}"):
            response = await TrustRegistryServiceStub(channel).SubmitJoin(
                trust_registry_pb2.SubmitJoinRequest(join_request=data), timeout=_TIMEOUT_SECONDS
            )
    finally:
        await channel.close()
    if response.request_digest != join_digest(data):
        raise ConfigurationError(
            "the registry acknowledged another digest than this node sent: tell its operators"
        )
    name: str = trust_registry_pb2.JoinState.Name(response.state)
    return name.removeprefix("JOIN_STATE_")
