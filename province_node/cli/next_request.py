"""Writes request.json, which the authority signs next."""

from __future__ import annotations

import contextlib
from pathlib import Path

from healthcode.errors import HealthcodeError, Reason
from healthcode.trust.format.layout import authority_role
from healthcode.trust.store import TrustStore
from province_node.keys.keyring import Keyring
from province_node.keys.node_request import make_request, write_request
from province_node.settings import NodeFolder, NodeSettings

__all__ = ["write_next_request"]

_HAND_IN = "`province-node publish --bundle bundle.json` (`join` if the authority that signs is not the admitted one)"


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
    made = make_request(settings, keyring, version=version, now=now, published=held)
    return {
        "request": str(write_request(NodeFolder(root), made)),
        "version": version,
        "next": "the authority signs request.json (`authority sign --request request.json --out bundle.json`); then run here "
        + ("`province-node join --bundle bundle.json`" if issuer is None else _HAND_IN),
    }
