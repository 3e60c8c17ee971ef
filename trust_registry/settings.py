"""registry.toml: the configuration of a trust registry, loaded strictly."""

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
    "KeySettings",
    "RegistrySettings",
    "RepositorySettings",
    "ServerSettings",
    "load_registry_settings",
]

MAX_PROVINCE_LIST_BYTES = 1_073_741_824


class ServerSettings(Settings):
    """`listen`: mTLS, for provinces and the gateway. `public_listen`: TLS without client certificates."""

    listen: ListenAddress
    public_listen: ListenAddress

    @field_validator("public_listen")
    @classmethod
    def _everybody_has_their_own(cls, address: str, info: ValidationInfo) -> str:
        return check_distinct(address, "listen", info.data.get("listen"))


class KeySettings(Settings):
    """What opens the online keys: a file of mode 0600, or a systemd credential's name."""

    passphrase_file: FilePath | None = None
    credential: str | None = None


class RepositorySettings(Settings):
    """Times in seconds: how often the timestamp is signed anew, how long superseded files are kept.

    `group_seconds`: publications that come within it go out in one snapshot. Short beside the
    second for which a node gathers its own, since the two add up on the way of a revocation.
    `report_seconds`: how often nodes are asked to report what they decide with.
    `province_list_bytes`: how much all lists that one participant's head names may have together.
    """

    timestamp_interval_seconds: Annotated[float, Field(ge=0.2, le=1800, strict=False)] = 60.0
    keep_superseded_seconds: Annotated[int, Field(ge=3600)] = 172_800
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
