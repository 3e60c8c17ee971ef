"""node.toml: the settings of a province node. An unknown key is an error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from healthcode.errors import HealthcodeError
from healthcode.identity.participant import participant
from healthcode.identity.realm import check_realm
from healthcode.settings import (
    FilePath,
    ListenAddress,
    LogSettings,
    MetricsSettings,
    MirrorAddress,
    Settings,
    TlsSettings,
    check_distinct,
    load_settings,
)

__all__ = [
    "CONFIGURATION_FILE",
    "METRICS_LISTEN",
    "IssueSettings",
    "KeySettings",
    "NodeFolder",
    "NodeSettings",
    "ProxySettings",
    "PublishSettings",
    "RegistrySettings",
    "StreamSettings",
    "WitnessSettings",
    "load_node_settings",
]

CONFIGURATION_FILE = "node.toml"
METRICS_LISTEN = "127.0.0.1:9453"
"""Where `init` has metrics listen; deploy/prometheus.yaml scrapes it."""


def _realm(text: str) -> str:
    try:
        return check_realm(text)
    except HealthcodeError as error:
        raise ValueError(error.message) from error


def _participant(text: str) -> str:
    try:
        return participant(text).code
    except HealthcodeError as error:
        raise ValueError(error.message) from error


class RegistrySettings(Settings):
    """The registry. What it serves is trusted only if it is signed.

    `endpoint` is its public listener (server certificate only), `ca` the CA of that certificate,
    `root_fingerprint` the SHA-256 of the root file, announced by the national key holders.
    """

    endpoint: ListenAddress
    ca: FilePath
    root_fingerprint: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class KeySettings(Settings):
    """The online keys, and their passphrase: in a file of mode 0600, or in a systemd credential.

    A new key signs `settle_seconds` after it was seen published, if there is another key until then.
    """

    folder: FilePath = Path("keys")
    passphrase_file: FilePath | None = None
    credential: str | None = None
    settle_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60

    @model_validator(mode="after")
    def _one_way(self) -> KeySettings:
        if self.passphrase_file is not None and self.credential is not None:
            message = "give passphrase_file or credential, not both"
            raise ValueError(message)
        return self


class IssueSettings(Settings):
    """How long codes are valid if the back end does not say.

    `rule` is what codes carry under a policy of format 1; where levels are derived, they carry the policy version.
    """

    live_validity_seconds: Annotated[int, Field(ge=10, le=3600)] = 1800
    paper_validity_seconds: Annotated[int, Field(ge=3600, le=1_209_600)] = 604_800
    rule: Annotated[str, Field(pattern=r"^[A-Z0-9.-]{1,16}$")] = "R1"
    tag_threads: Annotated[int, Field(ge=1, le=64)] | None = None


class PublishSettings(Settings):
    """How revocations are published.

    Revocations of `interval_seconds` go out together. A head is signed again after `resign_seconds` without
    a change. `padding` adds entries without a code, so that the size of a list does not tell the count.
    """

    interval_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    resign_seconds: Annotated[float, Field(ge=1, le=3600)] = 300.0
    padding: bool = True


class StreamSettings(Settings):
    """A VerifyStream without a question for `idle_seconds` is closed."""

    idle_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0


class TrustSettings(Settings):
    """The trust folder, and how often to poll when the registry's watch is silent.

    `mirrors` serve the registry's files as well; the newest valid files are used, from any of them.
    `mirror_ca` replaces the system's CAs for their certificates.
    """

    folder: FilePath = Path("trust")
    poll_seconds: Annotated[float, Field(ge=0.2, le=3600)] = 30.0
    mirrors: Annotated[tuple[MirrorAddress, ...], Field(max_length=16, strict=False)] = ()
    mirror_ca: FilePath | None = None


class WitnessSettings(Settings):
    """Other provinces are asked about their audit logs each `ask_seconds`, more or less by half."""

    ask_seconds: Annotated[float, Field(ge=0.2, le=86_400)] = 60.0


class ProxySettings(Settings):
    """Proxies that end the TLS of integrators and pass their certificates on, by the SHA-256 of their public keys."""

    public_keys: Annotated[
        tuple[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")], ...],
        Field(max_length=16, strict=False),
    ] = ()


class NodeSettings(Settings):
    """The whole of node.toml."""

    participant: Annotated[str, AfterValidator(_participant)]
    realm: Annotated[str, AfterValidator(_realm)]
    listen: ListenAddress
    issuer_listen: ListenAddress
    endpoint: ListenAddress | None = None  # how the gateway reaches `listen`, when that differs
    database: FilePath = Path("node.db")
    officers: FilePath = Path("officers")
    tls: TlsSettings
    registry: RegistrySettings
    trust: TrustSettings = TrustSettings()
    keys: KeySettings = KeySettings()
    issue: IssueSettings = IssueSettings()
    publish: PublishSettings = PublishSettings()
    stream: StreamSettings = StreamSettings()
    witness: WitnessSettings = WitnessSettings()
    proxy: ProxySettings = ProxySettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()

    @field_validator("issuer_listen")
    @classmethod
    def _issuers_have_their_own(cls, address: str, info: ValidationInfo) -> str:
        return check_distinct(address, "listen", info.data.get("listen"))

    @property
    def advertised(self) -> str:
        """The address that goes into province.json."""
        return self.endpoint or self.listen


class NodeFolder:
    """The files of a node's folder. The rest is named in node.toml: keys/, trust/, node.db."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configuration = root / CONFIGURATION_FILE
        self.tls = root / "tls"
        self.request = root / "request.json"
        self.passphrase = root / "passphrase"
        self.serving = root / ".serving.lock"


def load_node_settings(root: Path) -> NodeSettings:
    """The settings of the node in folder `root`. Raises ConfigurationError, which names the key and the remedy."""
    settings = load_settings(NodeFolder(root).configuration, NodeSettings)
    # the loader does not see defaults, so they are made absolute here
    return settings.model_copy(
        update={
            "database": _inside(root, settings.database),
            "officers": _inside(root, settings.officers),
            "trust": settings.trust.model_copy(update={"folder": _inside(root, settings.trust.folder)}),
            "keys": settings.keys.model_copy(update={"folder": _inside(root, settings.keys.folder)}),
        }
    )


def _inside(root: Path, path: Path) -> Path:
    return path if path.is_absolute() else root.resolve() / path
