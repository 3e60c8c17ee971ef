"""gateway.toml: the configuration of the gateway, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from healthcode.errors import HealthcodeError
from healthcode.identity.realm import check_realm
from healthcode.settings import (
    FilePath,
    ListenAddress,
    LogSettings,
    MetricsSettings,
    MirrorAddress,
    Settings,
    TlsSettings,
    load_settings,
)

__all__ = [
    "CacheSettings",
    "GatewaySettings",
    "HomeSettings",
    "RegistrySettings",
    "TrustSettings",
    "load_gateway_settings",
]


def _realm(text: str) -> str:
    try:
        return check_realm(text)
    except HealthcodeError as error:
        raise ValueError(error.message) from error


Seconds = Annotated[float, Field(gt=0, le=60, strict=False)]


class RegistrySettings(Settings):
    """Where trust comes from: the registry's public listener and the CA of its certificate.

    `root_fingerprint` is the SHA-256 of the root file as the national key holders
    announced it; it begins an empty trust folder.
    """

    endpoint: ListenAddress
    ca: FilePath
    root_fingerprint: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class TrustSettings(Settings):
    """The trust folder, and how often to look when the registry's watch is silent.

    `mirrors` hold the registry's files as well: the newest that holds is taken, wherever it
    comes from. `mirror_ca`: the CAs of their certificates, instead of the system's.
    """

    folder: FilePath
    poll_seconds: Annotated[float, Field(ge=0.2, le=3600, strict=False)] = 30.0
    mirrors: Annotated[tuple[MirrorAddress, ...], Field(max_length=16, strict=False)] = ()
    mirror_ca: FilePath | None = None


class HomeSettings(Settings):
    """How much one home may take up, and when it is left alone for a while.

    `timeout_seconds` is the longest that any question waits for a home; a shorter
    deadline of the caller counts, less `margin_seconds` for the way back.
    """

    timeout_seconds: Seconds = 4.0
    margin_seconds: Seconds = 0.2
    max_waiting: Annotated[int, Field(ge=1, le=10_000)] = 64
    failures_before_pause: Annotated[int, Field(ge=1, le=1000)] = 5
    min_pause_seconds: Seconds = 1.0
    max_pause_seconds: Seconds = 5.0


class CacheSettings(Settings):
    """Signed CACHED answers; `ttl_seconds` 0 keeps none."""

    max_answers: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    ttl_seconds: Annotated[int, Field(ge=0, le=60)] = 5


class GatewaySettings(Settings):
    """All of gateway.toml.

    `listen`: mTLS, for province nodes. `drain_seconds`: what SIGTERM leaves calls to
    end. `registry` is not there until `init` was told of it, since the registry needs
    the gateway's CA first; nothing is served without it.
    """

    realm: Annotated[str, AfterValidator(_realm)]
    listen: ListenAddress
    drain_seconds: Seconds = 5.0
    tls: TlsSettings
    registry: RegistrySettings | None = None
    trust: TrustSettings
    homes: HomeSettings = HomeSettings()
    cache: CacheSettings = CacheSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


def load_gateway_settings(path: Path) -> GatewaySettings:
    """The settings at `path`. Raises ConfigurationError naming the key that is wrong."""
    return load_settings(path, GatewaySettings)
