"""Configuration files: TOML, read strictly into pydantic models."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from healthcode.errors import ConfigurationError

__all__ = [
    "FilePath",
    "ListenAddress",
    "LogSettings",
    "MetricsSettings",
    "MirrorAddress",
    "Settings",
    "TlsSettings",
    "check_distinct",
    "load_settings",
    "local_address",
    "split_address",
]

MAX_FILE_BYTES = 256 * 1024
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared, not listened on


def _resolve(value: object, info: ValidationInfo) -> object:
    folder = (info.context or {}).get("folder")
    if isinstance(value, str):
        if not value:
            message = "a path may not be empty"
            raise ValueError(message)
        value = Path(value)
    if isinstance(value, Path) and folder is not None:
        return folder / value.expanduser()
    return value


def split_address(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:8443", "[::1]:8443" or "localhost:0". Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed):
        message = "write host:port, like 127.0.0.1:8443 or [::1]:8443"
        raise ValueError(message)
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        message = f"{port!r} is not a port from 0 to 65535"
        raise ValueError(message)
    return (host[1:-1] if bracketed else host), int(port)


def local_address(listen: str) -> str:
    """The address at which this machine reaches a listener."""
    host, port = split_address(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not listened on
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_distinct(address: str, key: str, other: str | None) -> str:
    """`address`, for a validator. Raises ValueError if `other`, the value of `key`, is the same address."""
    if other is not None:
        (host, port), (other_host, other_port) = split_address(address), split_address(other)
        if port == other_port != 0 and (host == other_host or not _ANYWHERE.isdisjoint((host, other_host))):
            message = f"that is where `{key}` listens: each listener needs an address of its own"
            raise ValueError(message)
    return address


def _check_address(text: str) -> str:
    split_address(text)
    return text


FilePath = Annotated[Path, BeforeValidator(_resolve)]
"""A path; a relative one starts at the configuration file's folder."""

ListenAddress = Annotated[str, AfterValidator(_check_address)]
"""host:port; with port 0 the system chooses one, for tests."""


def _check_mirror(text: str) -> str:
    if not text.startswith(("http://", "https://", "file:///")):
        message = f"{text!r} is no mirror: write https://host/folder, or file:///folder"
        raise ValueError(message)
    return text


MirrorAddress = Annotated[str, AfterValidator(_check_mirror)]
"""A mirror of the registry's files: https://host/folder, http://…, or file:///folder."""


class Settings(BaseModel):
    """Base of every section: no type coercion, no unknown key, immutable; defaults are checked like values.

    class NodeSettings(Settings):
        participant: str
        listen: ListenAddress
        tls: TlsSettings

    settings = load_settings(Path("node/node.toml"), NodeSettings)
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, validate_default=True, revalidate_instances="always"
    )


class TlsSettings(Settings):
    """Certificate (PEM, leaf first), its private key (PEM, mode 0600), and the CA that issued it."""

    certificate: FilePath
    private_key: FilePath
    ca: FilePath


class LogSettings(Settings):
    """`level` of the log; `format` json for machines, console for people."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class MetricsSettings(Settings):
    """Where Prometheus reads /metrics; None if it is not served."""

    listen: ListenAddress | None = None


_Model = TypeVar("_Model", bound=Settings)
_MISSING = "run `init` first, or name the folder with --dir"


def load_settings(path: Path, model: type[_Model], *, missing: str = _MISSING) -> _Model:
    """The settings in the TOML file at `path`; `missing` says what to do without it.

    Raises ConfigurationError naming the file and the key: missing or unreadable file, invalid TOML, unknown or
    missing key, wrong type.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is missing: {missing}") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is larger than {MAX_FILE_BYTES} bytes; that is no configuration")
    try:
        table = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path.name}: this is not TOML: {error}") from error
    try:
        return model.model_validate(table, context={"folder": path.parent.resolve()})
    except ValidationError as error:
        lines = [_describe(problem, model) for problem in error.errors()]
        raise ConfigurationError("\n".join(f"{path.name}: {line}" for line in lines)) from error


def _describe(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """One problem as a sentence for the operator."""
    *sections, key = [str(part) for part in problem["loc"]] or ["?"]
    where = f" in [{'.'.join(sections)}]" if sections else ""
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _keys(model, sections), n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"unknown key `{key}`{where}{hint}"
    if problem["type"] == "missing":
        return f"`{key}` is missing{where}"
    text = problem["msg"].removeprefix("Value error, ")
    return f"`{key}`{where}: {text[:1].lower()}{text[1:]}"


def _keys(model: type[BaseModel], sections: list[str]) -> list[str]:
    """The keys that a section may have, if it is a plain nested model."""
    found: Any = model
    for section in sections:
        field = found.model_fields.get(section) if hasattr(found, "model_fields") else None
        found = field.annotation if field else None
    return list(getattr(found, "model_fields", {}))
