"""gateway.toml, the gateway's configuration, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from healthcode.errors import ConfigurationError, HealthcodeError
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
    "METRICS_LISTEN",
    "CacheSettings",
    "GatewaySettings",
    "HomeSettings",
    "RegistrySettings",
    "TrustSettings",
    "load_gateway_settings",
    "require_registry",
]

METRICS_LISTEN = "127.0.0.1:9463"
"""Where `init` has metrics listen; deploy/prometheus.yaml scrapes it."""


def _realm(text: str) -> str:
    try:
        return check_realm(text)
    except HealthcodeError as error:
        raise ValueError(error.message) from error


Seconds = Annotated[float, Field(gt=0, le=60, strict=False)]


class RegistrySettings(Settings):
    """The registry's public listener and the CA of its certificate.

    `root_fingerprint` is the SHA-256 of the root file, as the national key holders announced it.
    """

    endpoint: ListenAddress
    ca: FilePath
    root_fingerprint: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class TrustSettings(Settings):
    """The trust folder, and how often to poll when the registry's watch is silent.

    `mirrors` serve copies of the registry's files; the newest valid files are taken from any source.
    `mirror_ca` replaces the system's CAs for them.
    """

    folder: FilePath
    poll_seconds: Annotated[float, Field(ge=0.2, le=3600, strict=False)] = 30.0
    mirrors: Annotated[tuple[MirrorAddress, ...], Field(max_length=16, strict=False)] = ()
    mirror_ca: FilePath | None = None


class HomeSettings(Settings):
    """The limits of each home, and when its circuit breaker opens.

    A question waits for at most `timeout_seconds`, or until the caller's deadline less `margin_seconds`.
    """

    timeout_seconds: Seconds = 4.0
    margin_seconds: Seconds = 0.2
    max_waiting: Annotated[int, Field(ge=1, le=10_000)] = 64
    failures_before_pause: Annotated[int, Field(ge=1, le=1000)] = 5
    min_pause_seconds: Seconds = 1.0
    max_pause_seconds: Seconds = 5.0


class CacheSettings(Settings):
    """The cache of answers; `ttl_seconds` 0 caches none."""

    max_answers: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    ttl_seconds: Annotated[int, Field(ge=0, le=60)] = 5


class GatewaySettings(Settings):
    """All of gateway.toml.

    `listen`: mTLS, for province nodes. `drain_seconds`: how long calls may run on after SIGTERM.
    `registry` is None until `init` names it; the gateway cannot serve without it.
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
    """Raises ConfigurationError, which names the wrong key."""
    return load_settings(path, GatewaySettings)


def require_registry(settings: GatewaySettings) -> RegistrySettings:
    """Raises ConfigurationError if gateway.toml names no registry yet."""
    if settings.registry is None:
        raise ConfigurationError(
            "gateway.toml has no [registry] yet: run `healthcode-gateway init` again with --registry, "
            "--registry-ca and --root-fingerprint"
        )
    return settings.registry
