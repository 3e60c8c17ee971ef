"""node.toml: what a province node is told, read strictly (an unknown key is an error that names it).

Everything else it knows comes from the signed trust files: the other provinces,
the gateway, the policy. `NodeFolder` names the files that `init` lays out.
"""

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
    "IssueSettings",
    "KeySettings",
    "NodeFolder",
    "NodeSettings",
    "PublishSettings",
    "RegistrySettings",
    "StreamSettings",
    "load_node_settings",
]

CONFIGURATION_FILE = "node.toml"


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
    """Where trust comes from. Nothing the registry says is believed without a signature.

    `endpoint` is its public listener (server certificate only), `ca` the CA of
    that certificate, `root_fingerprint` the SHA-256 of the root file as the
    national key holders announced it.
    """

    endpoint: ListenAddress
    ca: FilePath
    root_fingerprint: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class KeySettings(Settings):
    """The online keys, and what opens them without a person: a file of mode 0600, or a systemd credential.

    `settle_seconds`: how long a new key is seen published before it signs, when there is another.
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
    """How long codes live when the back end does not say, and the rule id they carry."""

    live_validity_seconds: Annotated[int, Field(ge=10, le=3600)] = 1800
    paper_validity_seconds: Annotated[int, Field(ge=3600, le=1_209_600)] = 604_800
    rule: Annotated[str, Field(pattern=r"^[A-Z0-9.-]{1,16}$")] = "R1"
    tag_threads: Annotated[int, Field(ge=1, le=64)] | None = None


class PublishSettings(Settings):
    """How revocations go out.

    `interval_seconds`: revocations of so long travel together; `resign_seconds`: sign again
    without a change; `padding`: entries that no code has, so that a list's size is no count.
    """

    interval_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    resign_seconds: Annotated[float, Field(ge=1, le=3600)] = 300.0
    padding: bool = True


class StreamSettings(Settings):
    """A VerifyStream with nothing asked for so long is ended."""

    idle_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0


class TrustSettings(Settings):
    """The trust folder, and how often to look when the registry's watch is silent.

    `mirrors` hold the registry's files as well: the newest that holds is taken, wherever it
    comes from. `mirror_ca`: the CAs of their certificates, instead of the system's.
    """

    folder: FilePath = Path("trust")
    poll_seconds: Annotated[float, Field(ge=0.2, le=3600)] = 30.0
    mirrors: Annotated[tuple[MirrorAddress, ...], Field(max_length=16, strict=False)] = ()
    mirror_ca: FilePath | None = None


class NodeSettings(Settings):
    """The whole of node.toml."""

    participant: Annotated[str, AfterValidator(_participant)]
    realm: Annotated[str, AfterValidator(_realm)]
    listen: ListenAddress
    issuer_listen: ListenAddress
    endpoint: ListenAddress | None = None  # how the gateway reaches `listen`, when that differs
    database: FilePath = Path("node.db")
    tls: TlsSettings
    registry: RegistrySettings
    trust: TrustSettings = TrustSettings()
    keys: KeySettings = KeySettings()
    issue: IssueSettings = IssueSettings()
    publish: PublishSettings = PublishSettings()
    stream: StreamSettings = StreamSettings()
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
    """The files of a node's folder, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configuration = root / CONFIGURATION_FILE
        self.tls = root / "tls"
        self.request = root / "request.json"
        self.passphrase = root / "passphrase"


def load_node_settings(root: Path) -> NodeSettings:
    """The settings of the node in folder `root`. Raises ConfigurationError saying which key and what to do."""
    settings = load_settings(NodeFolder(root).configuration, NodeSettings)
    # defaults are not seen by the loader, so they are made absolute here
    return settings.model_copy(
        update={
            "database": _inside(root, settings.database),
            "trust": settings.trust.model_copy(update={"folder": _inside(root, settings.trust.folder)}),
            "keys": settings.keys.model_copy(update={"folder": _inside(root, settings.keys.folder)}),
        }
    )


def _inside(root: Path, path: Path) -> Path:
    return path if path.is_absolute() else root.resolve() / path
