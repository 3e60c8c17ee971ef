"""Makes a gateway's folder, in two steps, because gateway and registry each need the other's CA.

`make_folder` makes the folder and, in a test realm, certificates. `name_registry` adds the registry.
"""

from __future__ import annotations

import json
from pathlib import Path

from gateway.layout import GatewayFolder
from gateway.settings import GatewaySettings, RegistrySettings, load_gateway_settings
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.realm import check_realm, is_test_realm
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller

__all__ = ["make_folder", "name_registry"]

DEVELOPMENT_DAYS = 365

_CONFIGURATION = """\
# The gateway's configuration, read strictly; deploy/gateway.toml shows every key with its default.

realm = {realm}
listen = {listen}

[tls]
certificate = "tls/gateway.pem"
private_key = "tls/gateway.key"
ca = "tls/ca.pem"

[trust]
folder = "trust"
"""

_METRICS = """
[metrics]
listen = {listen}
"""

_REGISTRY = """
[registry]
endpoint = {endpoint}
ca = "tls/registry-ca.pem"
root_fingerprint = {fingerprint}
"""


def make_folder(
    folder: GatewayFolder,
    *,
    realm: str,
    listen: str,
    metrics_listen: str | None,
    dns_names: tuple[str, ...],
    development: bool,
    now: int,
) -> GatewaySettings:
    """Writes gateway.toml, and with `development` a CA and the gateway's certificate.

    Raises ConfigurationError if the folder already has a gateway or `development` is not allowed in
    the realm, InvalidInputError for a bad realm.
    """
    check_realm(realm)
    if folder.configuration.exists():
        raise ConfigurationError(
            f"{folder.configuration} already exists: choose another --dir, or leave out --realm to name the registry"
        )
    if development and not is_test_realm(realm):
        raise ConfigurationError(
            f"--development is only for test realms, and {realm} is not one: leave it out"
        )
    _make(folder.root)
    _make(folder.tls)
    if development:
        ca = make_ca(f"{realm} gateway CA", days=DEVELOPMENT_DAYS, now=now)
        leaf = issue_leaf(
            ca, PeerId(realm, PeerKind.GATEWAY), dns_names=dns_names, days=DEVELOPMENT_DAYS, now=now
        )
        ca.write(folder.ca, folder.ca_key)
        leaf.write(folder.certificate, folder.private_key)
    text = _CONFIGURATION.format(realm=_toml(realm), listen=_toml(listen))
    if metrics_listen is not None:
        text += _METRICS.format(listen=_toml(metrics_listen))
    _write(folder.configuration, text)
    return load_gateway_settings(folder.configuration)


def name_registry(folder: GatewayFolder, *, endpoint: str, ca: Path, fingerprint: str) -> GatewaySettings:
    """Adds the registry to gateway.toml and copies its CA. Repeating it changes nothing.

    Raises ConfigurationError if gateway.toml names another registry.
    """
    settings = load_gateway_settings(folder.configuration)
    with as_caller():
        ca_pem = load_ca(ca)
    found = settings.registry
    if found is not None:
        same = (found.endpoint, found.root_fingerprint, load_ca(found.ca)) == (endpoint, fingerprint, ca_pem)
        if not same:
            raise ConfigurationError(
                f"{folder.configuration} already names another registry: edit [registry] there"
            )
        return settings
    RegistrySettings.model_validate(
        {"endpoint": endpoint, "ca": folder.registry_ca, "root_fingerprint": fingerprint}
    )
    _write(folder.registry_ca, ca_pem)
    text = folder.configuration.read_text()
    _write(
        folder.configuration,
        text + _REGISTRY.format(endpoint=_toml(endpoint), fingerprint=_toml(fingerprint)),
    )
    return load_gateway_settings(folder.configuration)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the folder {folder}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    write_output(path, text.encode())


def _toml(text: str) -> str:
    """A TOML basic string. Every JSON escape is also a TOML escape."""
    return json.dumps(text, ensure_ascii=False)
