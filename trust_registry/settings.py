"""The settings of registry.toml. An unknown key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from healthcode.settings import (
    FilePath,
    ListenAddress,
    LogSettings,
    MetricsSettings,
    Settings,
    TlsSettings,
    check_distinct,
    load_settings,
)

__all__ = [
    "METRICS_LISTEN",
    "KeySettings",
    "RegistrySettings",
    "RepositorySettings",
    "ServerSettings",
    "load_registry_settings",
    "new_configuration",
]

MAX_PROVINCE_LIST_BYTES = 1_073_741_824
METRICS_LISTEN = "127.0.0.1:9443"
"""Where `init` has metrics listen; deploy/prometheus.yaml scrapes it."""


class ServerSettings(Settings):
    """`listen`: mTLS, for provinces and the gateway. `public_listen`: TLS without client certificates."""

    listen: ListenAddress
    public_listen: ListenAddress

    @field_validator("public_listen")
    @classmethod
    def _check_own_address(cls, address: str, info: ValidationInfo) -> str:
        return check_distinct(address, "listen", info.data.get("listen"))


class KeySettings(Settings):
    """Where the passphrase of the online keys is: a file of mode 0600, or the name of a systemd credential."""

    passphrase_file: FilePath | None = None
    credential: str | None = None


class RepositorySettings(Settings):
    """How the trust tree is published; times in seconds.

    `timestamp_interval_seconds`: how often the timestamp is re-signed.
    `keep_superseded_seconds`: how long replaced files are kept.
    `group_seconds`: submissions that arrive within this time are published in one snapshot.
    `report_seconds`: how often nodes are asked to report their state.
    `province_list_bytes`: the largest total size of the lists that one participant's head may name.
    """

    timestamp_interval_seconds: Annotated[float, Field(ge=0.2, le=1800, strict=False)] = 60.0
    keep_superseded_seconds: Annotated[int, Field(ge=3600)] = 172_800
    # short: a node collects revocations for one second itself, and both delays add up
    group_seconds: Annotated[float, Field(ge=0, le=5, strict=False)] = 0.25
    report_seconds: Annotated[float, Field(ge=1, le=3600, strict=False)] = 60.0
    province_list_bytes: Annotated[int, Field(ge=1_048_576)] = MAX_PROVINCE_LIST_BYTES


class RegistrySettings(Settings):
    """All of registry.toml."""

    realm: str
    server: ServerSettings
    tls: TlsSettings
    keys: KeySettings = KeySettings()
    repository: RepositorySettings = RepositorySettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


def load_registry_settings(path: Path) -> RegistrySettings:
    """The settings at `path`. Raises ConfigurationError naming the key that is wrong."""
    return load_settings(path, RegistrySettings)


def new_configuration(realm: str, *, listen: str, public_listen: str, metrics_listen: str | None) -> str:
    """The registry.toml of a new or rebuilt registry."""
    metrics = f'listen = "{metrics_listen}"' if metrics_listen else f'# listen = "{METRICS_LISTEN}"'
    return f"""\
# Trust registry of realm {realm}. An unknown key is an error. Paths are relative to this file's folder.
realm = "{realm}"

[server]
listen = "{listen}"  # mTLS: provinces publish here
public_listen = "{public_listen}"  # TLS: anybody reads the trust files and asks to join

[tls]
certificate = "tls/registry.pem"
private_key = "tls/registry.key"
ca = "tls/ca.pem"

[keys]
passphrase_file = "passphrase"  # or: credential = "NAME", with systemd's LoadCredential=NAME

[repository]
timestamp_interval_seconds = 60.0

[metrics]
{metrics}  # for Prometheus, without TLS

[log]
level = "info"
format = "json"
"""
