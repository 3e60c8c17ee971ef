"""gateway.toml: the configuration of the gateway, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from healthcode.settings import (
    FilePath,
    ListenAddress,
    LogSettings,
    MetricsSettings,
    Settings,
    TlsSettings,
    load_settings,
)

__all__ = [
    "CacheSettings",
    "GatewaySettings",
    "HomeSettings",
    "ServerSettings",
    "TrustSettings",
    "load_gateway_settings",
]

Seconds = Annotated[float, Field(gt=0, le=60, strict=False)]


class ServerSettings(Settings):
    """`listen`: mTLS, for province nodes. `drain_seconds`: what SIGTERM leaves running calls to end."""

    listen: ListenAddress
    drain_seconds: Seconds = 5.0


class TrustSettings(Settings):
    """The trust folder, and the registry that keeps it current (its public listener: no identity needed).

    `root_fingerprint` begins an empty folder; without it `healthcode trust init` must have.
    """

    directory: FilePath
    registry: ListenAddress
    registry_ca: FilePath
    root_fingerprint: str | None = None


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
    """All of gateway.toml."""

    realm: str
    server: ServerSettings
    tls: TlsSettings
    trust: TrustSettings
    homes: HomeSettings = HomeSettings()
    cache: CacheSettings = CacheSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


def load_gateway_settings(path: Path) -> GatewaySettings:
    """The settings at `path`. Raises ConfigurationError naming the key that is wrong."""
    return load_settings(path, GatewaySettings)
