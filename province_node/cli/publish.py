"""`province-node publish`: sends the registry what the authority signed."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.clock import SystemClock
from healthcode.errors import ConflictError, PreconditionError
from healthcode.identity.peer import PeerKind
from healthcode.service.service_link import ServiceLink
from healthcode.signing.ed25519 import kid, self_test
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.join_request import JoinRequest, encode_join_request, join_digest
from province_node.authority.bundle import describe_change, verify_bundle
from province_node.cli.entry import read_own_chain
from province_node.cli.key_lines import files_of, key_lines, read_view
from province_node.cli.option import dir_option
from province_node.cli.signed_bundle import read_signed_bundle
from province_node.keys.held_keys import read_held_keys
from province_node.operations.warnings import held_warnings
from province_node.publishing.own_entry import expect_entry, is_newer
from province_node.publishing.registry_link import RegistryLink
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["publish"]

_SEEN_SECONDS = 5.0
_SETTLE_WAITED_SECONDS = 2


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
    help="The bundle that the authority signed.",
)
@json_option
def publish(root: Path, bundle_file: Path, as_json: bool) -> None:
    """Publish the keys, CA and endpoints of this node, as the authority signed them.

    Waits a few seconds until a running node has fetched them and uses its new keys. A node that
    is not running fetches them when it starts.
    """
    self_test()
    settings = load_node_settings(root)
    bundle = read_signed_bundle(bundle_file, settings)
    sent = verify_bundle(bundle, SystemClock().now())
    store = TrustStore.open(settings.trust.folder)
    published = store.view.issuers.get(settings.participant)
    before = store.state.issuers.get(settings.participant)
    if published is not None and not is_newer(bundle, published):
        result = {
            "participant": settings.participant,
            "version": published.province_version,
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
            f"version {version} is published, not version {sent.version}: nothing was done; "
            "run `province-node request` and have the authority sign the next version"
        )
    seen = _wait_until_seen(settings, version)
    lacking = _wait_until_held(root, settings) if seen else []
    result = {
        "participant": settings.participant,
        "version": version,
        "published": describe_change(None if before is None else before.authority, sent)
        or ["no change except the expiry"],
        "seen_by_node": seen,
        "not_held": lacking,
        "next": _next(settings, seen=seen, lacking=lacking),
    }
    print_result(result, as_json=as_json, table=details)


def _check_admitted(bundle: JoinRequest, settings: NodeSettings) -> None:
    """Raises PreconditionError if this authority is not the province's current one."""
    chain = read_own_chain(settings)
    if bundle.link not in chain:
        raise PreconditionError(
            f"this authority (link {bundle.link.seq}, kid {kid(bundle.link.keys[0]).hex()} …) is not admitted yet: submit the "
            "bundle with `province-node join`, and read the digest out to the operators"
        )
    if bundle.link != chain[-1]:
        raise PreconditionError(
            f"this authority (link {bundle.link.seq}) has handed over to link {chain[-1].seq}: have that "
            "authority sign request.json"
        )


def _wait_until_seen(settings: NodeSettings, version: int) -> bool:
    """Whether the running node has fetched its publication. Also waits for a short settling time."""
    until = time.monotonic() + _SEEN_SECONDS
    while time.monotonic() < until:
        issuer = TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
        if issuer is not None and issuer.province_version >= version:
            if settings.keys.settle_seconds <= _SETTLE_WAITED_SECONDS:
                time.sleep(settings.keys.settle_seconds + 0.5)
            return True
        time.sleep(0.2)
    return False


def _wait_until_held(root: Path, settings: NodeSettings) -> list[str]:
    """Why the running node does not have keys that are in its folder; waits a few seconds until it has all."""
    until = time.monotonic() + _SEEN_SECONDS
    while True:
        held = read_held_keys(root, settings)
        lines = key_lines(settings, read_view(settings), SystemClock().now(), held)
        lacking = list(held_warnings(files_of(lines), held))
        if not lacking or time.monotonic() >= until:
            return lacking
        time.sleep(0.2)


def _next(settings: NodeSettings, *, seen: bool, lacking: Sequence[str]) -> str:
    if lacking:
        return "the running node cannot sign with all keys: " + "; ".join(lacking)
    if seen:
        return f"a new key signs automatically {settings.keys.settle_seconds} s after the node has fetched it"
    return "the node has not fetched it yet: is it running? It uses new keys automatically once it has"


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
    # the id depends on the bundle, so repeating the command after a lost answer is safe
    request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{join_digest(encode_join_request(bundle))}/{version}"))
    try:
        return await RegistryLink(link).publish_province(request_id, bundle.metadata, bundle.province_json)
    finally:
        await link.close()
