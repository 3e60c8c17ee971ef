"""Makes the request that a node asks its authority to sign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from healthcode.errors import ConfigurationError
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.signing.keyfile import KeyInfo
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import write_output
from healthcode.trust.format.json_files import OfficersReference, ProvinceFile, ProvinceKey
from healthcode.trust.format.key_possession import new_province_key, prove_key
from healthcode.trust.verify.tls_ca import split_pem
from province_node.authority.request import ProvinceRequest, encode_request
from province_node.keys.key_files import SIGNING_PURPOSES
from province_node.keys.keyring import Keyring
from province_node.officers.roster import newest_reference, read_roster_files
from province_node.settings import NodeFolder, NodeSettings

__all__ = ["make_request", "write_request"]

# a key stays published as long as codes may name it, and a little longer
_KEPT_AFTER_WINDOW_SECONDS = 16 * 86_400
_CODE_PURPOSES = frozenset({KeyPurpose.LIVE.value, KeyPurpose.PAPER.value})


def make_request(
    settings: NodeSettings,
    keyring: Keyring,
    *,
    version: int,
    now: int,
    published: Sequence[ProvinceKey] = (),
    officers: OfficersReference | None = None,
) -> ProvinceRequest:
    """A request to publish this node's keys, CA and endpoint as version `version`.

    `published` are the keys of the version before, `officers` its officers file. A newer one in the node's folder
    takes its place.
    """
    keys: list[ProvinceKey] = []
    for purpose in SIGNING_PURPOSES:
        for info, key in keyring.signers(purpose):
            not_before, not_after = _window(info)
            if not_after + _KEPT_AFTER_WINDOW_SECONDS > now:
                keys.append(
                    new_province_key(
                        settings.participant,
                        purpose,
                        key,
                        settings.realm,
                        not_before=not_before,
                        not_after=not_after,
                    )
                )
    # a published key stays as long as codes may name it, even if the key itself is lost: its codes stay valid
    mine = {key.public for key in keys}
    keys += [
        key
        for key in published
        if key.public not in mine
        and key.purpose in _CODE_PURPOSES
        and key.not_after + _KEPT_AFTER_WINDOW_SECONDS > now
    ]
    province = ProvinceFile(
        realm=settings.realm,
        participant=settings.participant,
        keys=tuple(keys),
        tls_ca=split_pem(load_ca(settings.tls.ca)),
        endpoints={"federation": settings.advertised},
        officers=newest_reference(
            read_roster_files(settings.officers, realm=settings.realm, participant=settings.participant),
            officers,
        ),
    )
    head = keyring.head_key()
    return ProvinceRequest(
        realm=settings.realm,
        participant=settings.participant,
        version=version,
        live_public=head.public,
        live_possession=prove_key(settings.participant, KeyPurpose.HEAD, head, settings.realm),
        created=now,
        province=province,
    )


def write_request(folder: NodeFolder, request: ProvinceRequest) -> Path:
    """Writes request.json into the node's folder."""
    write_output(folder.request, encode_request(request))
    return folder.request


def _window(info: KeyInfo) -> tuple[int, int]:
    if info.not_before is None or info.not_after is None:
        raise ConfigurationError(f"the key file {info.name} has no window: restore it from its backup")
    return info.not_before, info.not_after
