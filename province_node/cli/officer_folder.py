"""An officer's own folder: officer.toml names the node, the certificate for TLS, and the key that signs acts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerKind
from healthcode.rpc.mtls.tls_files import load_tls, write_private
from healthcode.settings import FilePath, ListenAddress, Settings, TlsSettings, load_settings
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.plain_key import read_plain_key
from healthcode.storage.files import write_output
from province_node.cli.caller_folder import CallerFolder, as_option_of
from province_node.officers.act import Act, Verb, sign_act

__all__ = ["OFFICER_FILE", "OfficerFolder", "as_option", "open_officer", "write_officer"]

OFFICER_FILE = "officer.toml"

_TEXT = """\
# An officer of a province. Paths are relative to this file's folder.
# the issuer listener of the province's node
node = {node}
sign_key = "sign.key"

[tls]
certificate = "officer.pem"
private_key = "officer.key"
ca = "ca.pem"
"""


class _OfficerSettings(Settings):
    """The whole of officer.toml."""

    node: ListenAddress
    sign_key: FilePath
    tls: TlsSettings


@dataclass(frozen=True, slots=True)
class OfficerFolder(CallerFolder):
    """Who acts, at which node, and with which key."""

    key: PrivateKey

    @property
    def name(self) -> str:
        """The officer's name in the officers file."""
        return self.peer.name or ""

    def sign(self, verb: Verb, subject: bytes, *, officers: bytes, request_id: str, now: int) -> bytes:
        """An act of this officer. `subject` is the digest of what they saw, `officers` that of the officers file."""
        act = Act(self.peer.participant or "", self.name, verb, subject, officers, now, request_id)
        return sign_act(self.key, act, self.peer.realm)


as_option = as_option_of(OFFICER_FILE, "The officer's folder, which `province-node officer new` made.")


def open_officer(folder: Path) -> OfficerFolder:
    """The officer of this folder. Raises ConfigurationError, which names the file and what to do."""
    settings = load_settings(folder / OFFICER_FILE, _OfficerSettings)
    files = settings.tls
    if not files.certificate.exists():
        raise ConfigurationError(
            f"{files.certificate} is missing: have the province's CA issue it for {folder / 'officer.csr'}"
        )
    tls = load_tls(files.certificate, files.private_key, files.ca, now=SystemClock().now())
    peer = tls.identity.peer
    if peer.kind is not PeerKind.OFFICER:
        raise ConfigurationError(
            f"{files.certificate} is of {peer.uri}, and this needs an officer: have a certificate issued with the URI "
            f"spiffe://{peer.realm}.healthcode/officer/{peer.participant or 'NN'}/NAME"
        )
    return OfficerFolder(peer, settings.node, tls, read_plain_key(settings.sign_key))


def write_officer(
    folder: Path, *, node: str, key_pem: bytes, sign_key: bytes, others: dict[str, bytes]
) -> None:
    """Makes an officer's folder; `others` are the public files. Raises ConfigurationError if it has keys already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / "officer.key", key_pem)
    write_private(folder / "sign.key", sign_key)
    for name, data in others.items():
        write_output(folder / name, data)
    write_output(folder / OFFICER_FILE, _TEXT.format(node=json.dumps(node)).encode())
