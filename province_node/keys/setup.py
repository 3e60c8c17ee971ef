"""Makes the folder of a new node: configuration, keys, certificates and the first request."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import load_ca, write_private
from healthcode.signing.passphrase import read_passphrase
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller
from province_node.keys.key_files import ONLINE_PURPOSES, create_online_key
from province_node.keys.keyring import Keyring
from province_node.keys.node_request import make_request, write_request
from province_node.settings import NodeFolder, NodeSettings, load_node_settings

__all__ = [
    "CLIENTS",
    "CLIENT_NAME",
    "NodePlan",
    "check_node_plan",
    "create_node",
    "lacks_credential",
    "open_keyring",
]

CLIENTS = {"issuer": PeerKind.ISSUER, "integrator": PeerKind.INTEGRATOR}
"""The client certificates the commands use, by file name."""
CLIENT_NAME = "console"
"""As whom the commands call."""

_CA_DAYS = 3650
_LEAF_DAYS = 365
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NodePlan:
    """The options of `init`."""

    participant: str
    realm: str
    registry_endpoint: str
    registry_ca: Path
    root_fingerprint: str
    listen: str
    issuer_listen: str
    endpoint: str | None
    metrics_listen: str | None
    development: bool
    tls_ca: Path | None = None
    passphrase_file: Path | None = None
    credential: str | None = None


def create_node(root: Path, plan: NodePlan, *, passphrase: bytes | None, now: int) -> NodeSettings:
    """Makes the folder of a new node, with keys and request.json. Raises ConfigurationError.

    `passphrase` encrypts the keys; None in a development realm, where a random one is made.
    """
    # A development realm gets a CA of its own, with its key in tls/ca.key. Elsewhere the province's PKI issues the
    # certificates, and `check` names those that are missing.
    check_node_plan(root, plan)
    folder = NodeFolder(root)
    with as_caller():
        registry_ca = load_ca(plan.registry_ca)
        tls_ca = None if plan.tls_ca is None else load_ca(plan.tls_ca)
    for made in (root, folder.tls, root / "keys"):
        made.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_output(folder.tls / "registry-ca.pem", registry_ca.encode())
    if plan.development:
        _make_certificates(folder, plan, now)
        drawn = secrets.token_urlsafe(24).encode()
        write_private(folder.passphrase, drawn + b"\n")
        passphrase = drawn
    elif tls_ca is not None:
        write_output(folder.tls / "ca.pem", tls_ca.encode())
    if not passphrase:
        raise InvalidInputError("a passphrase for the online keys is needed")
    for purpose in ONLINE_PURPOSES:
        create_online_key(
            root / "keys",
            purpose,
            passphrase,
            participant=plan.participant,
            realm=plan.realm,
            now=now,
            development=plan.development,
        )
    # last, so that a folder with a configuration is complete
    write_output(folder.configuration, _configuration(plan).encode())
    settings = load_node_settings(root)
    keyring = Keyring(root / "keys", passphrase, participant=plan.participant, realm=plan.realm)
    write_request(folder, make_request(settings, keyring, version=1, now=now))
    return settings


@as_caller()
def check_node_plan(root: Path, plan: NodePlan) -> None:
    """Raises ConfigurationError if the plan is impossible; to be called before a passphrase is asked for."""
    if NodeFolder(root).configuration.exists():
        raise ConfigurationError(f"{root} has a node already; choose another folder")
    if plan.development and plan.realm == "cn":
        raise ConfigurationError("--development is for test realms only, never for cn")
    if _FINGERPRINT.fullmatch(plan.root_fingerprint) is None:
        raise ConfigurationError(
            "--root-fingerprint is sha256: and 64 hex digits, as `trust-registry fingerprint` prints it"
        )
    load_ca(plan.registry_ca)
    if plan.tls_ca is not None:
        load_ca(plan.tls_ca)
    elif not plan.development:
        raise ConfigurationError(
            "name the CA of this province's certificates with --tls-ca (or use --development)"
        )


def lacks_credential(settings: NodeSettings, environ: Mapping[str, str]) -> bool:
    """Whether the passphrase is a systemd credential that this process, unlike the service, does not get."""
    return settings.keys.credential is not None and not environ.get("CREDENTIALS_DIRECTORY")


def open_keyring(
    settings: NodeSettings, environ: Mapping[str, str], *, passphrase: bytes | None = None
) -> Keyring:
    """Opens the node's keys with `passphrase`, or with the configured one. Raises ConfigurationError."""
    if passphrase is None:
        passphrase = read_passphrase(settings.keys.passphrase_file, settings.keys.credential, environ=environ)
    return Keyring(
        settings.keys.folder,
        passphrase,
        participant=settings.participant,
        realm=settings.realm,
        settle_seconds=settings.keys.settle_seconds,
    )


def _make_certificates(folder: NodeFolder, plan: NodePlan, now: int) -> None:
    ca = make_ca(f"development CA of participant {plan.participant} in {plan.realm}", days=_CA_DAYS, now=now)
    ca.write(folder.tls / "ca.pem", folder.tls / "ca.key")
    node = PeerId(plan.realm, PeerKind.PROVINCE, plan.participant)
    issue_leaf(ca, node, days=_LEAF_DAYS, now=now).write(folder.tls / "node.pem", folder.tls / "node.key")
    for name, kind in CLIENTS.items():
        client = PeerId(plan.realm, kind, plan.participant, CLIENT_NAME)
        leaf = issue_leaf(ca, client, days=_LEAF_DAYS, now=now)
        leaf.write(folder.tls / f"{name}.pem", folder.tls / f"{name}.key")


def _configuration(plan: NodePlan) -> str:
    """The text of node.toml. JSON strings are valid TOML strings for these values."""

    def text(value: object) -> str:
        return json.dumps(str(value))

    if plan.development:
        opens = 'passphrase_file = "passphrase"  # development: mode 0600, beside the keys it opens'
    elif plan.credential is not None:
        opens = f"credential = {text(plan.credential)}  # systemd: LoadCredential={plan.credential}:/path"
    else:
        opens = f"passphrase_file = {text((plan.passphrase_file or Path('passphrase')).resolve())}"
    settle = (
        "\nsettle_seconds = 1  # a new key signs so soon after it was seen published"
        if plan.development
        else ""
    )
    endpoint = "" if plan.endpoint is None else f"endpoint = {text(plan.endpoint)}\n"
    metrics = "" if plan.metrics_listen is None else f"\n[metrics]\nlisten = {text(plan.metrics_listen)}\n"
    return f"""\
# A province node. Paths are relative to this file's folder. `province-node check` reads this strictly.
participant = {text(plan.participant)}
realm = {text(plan.realm)}

# Verify and QueryStatus for integrators, and what the gateway calls: mTLS
listen = {text(plan.listen)}
# for the province's own back ends: mTLS, this province's CA alone
issuer_listen = {text(plan.issuer_listen)}
{endpoint}
[tls]
certificate = "tls/node.pem"
private_key = "tls/node.key"
ca = "tls/ca.pem"

[registry]
endpoint = {text(plan.registry_endpoint)}
ca = "tls/registry-ca.pem"
root_fingerprint = {text(plan.root_fingerprint)}

[keys]
{opens}{settle}
{metrics}"""
