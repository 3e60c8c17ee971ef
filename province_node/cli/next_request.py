"""Writes request.json, which the authority signs next."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from healthcode.errors import HealthcodeError, Reason
from healthcode.rpc.mtls.certificate import is_issued_by
from healthcode.trust.format.layout import authority_role
from healthcode.trust.store import TrustStore
from province_node.keys.keyring import Keyring
from province_node.keys.node_request import make_request, write_request
from province_node.settings import NodeFolder, NodeSettings

__all__ = ["write_next_request"]

_HAND_IN = "`province-node publish --bundle bundle.json` (`join` if the authority that signs is not the admitted one)"


def _warn_of_ca(settings: NodeSettings, cas: tuple[str, ...]) -> None:
    """Warns if the request removes the CA of the certificate that this node shows."""
    with contextlib.suppress(OSError):
        if not is_issued_by(settings.tls.certificate.read_bytes(), cas):
            click.echo(
                f"warning: {settings.tls.certificate} was not issued by a CA in {settings.tls.ca}: once this is published, "
                "gateway and registry refuse this node. Put both CAs, old and new, into that file (docs/operating.md, "
                "Another CA)",
                err=True,
            )


def write_next_request(root: Path, settings: NodeSettings, keyring: Keyring, now: int) -> dict[str, object]:
    """Writes request.json of the next version. Returns its path, version and the next step."""
    issuer, version = None, 1
    with contextlib.suppress(HealthcodeError):
        store = TrustStore.open(settings.trust.folder)
        issuer = store.state.issuers.get(settings.participant)
        version = 1 if issuer is None else issuer.authority.version + 1
        if store.view.held_back.get(settings.participant) is Reason.AUTHORITY_WAITS:
            # a waiting authority's publications already count at the registry
            published = store.state.national.version_of(authority_role(settings.participant))
            version = max(version, (published or 0) + 1)
    held = () if issuer is None else issuer.authority.province.keys
    officers = None if issuer is None else issuer.authority.province.officers
    made = make_request(settings, keyring, version=version, now=now, published=held, officers=officers)
    _warn_of_ca(settings, made.province.tls_ca)
    return {
        "request": str(write_request(NodeFolder(root), made)),
        "version": version,
        "next": "the authority signs request.json (`authority sign --request request.json --out bundle.json`); then run here "
        + ("`province-node join --bundle bundle.json`" if issuer is None else _HAND_IN),
    }
