"""The sources of a trust folder: named at `trust init`, stored in the folder, the preferred one first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from healthcode.errors import ConfigurationError, DecodeError
from healthcode.service.registry_source import check_source, open_source
from healthcode.storage.files import write_atomic
from healthcode.storage.reading import read_regular
from healthcode.trust.format.json_files import JsonFile, decode_json_file
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.view import TrustView

__all__ = ["MAX_SOURCES", "SourceName", "name_sources", "open_sources", "read_sources", "write_sources"]

FILE_NAME = "source.json"
MAX_FILE_BYTES = 256 * 1024
MAX_SOURCES = 16


@dataclass(frozen=True, slots=True)
class SourceName:
    """The address of a source, and the CAs of its certificate if it uses TLS."""

    url: str
    ca_pem: str | None = None


class _SourceDocument(JsonFile):
    format: Literal["healthcode/source/1"] = "healthcode/source/1"
    url: str
    ca_pem: str | None = None


class _SourcesDocument(JsonFile):
    format: Literal["healthcode/sources/1"] = "healthcode/sources/1"
    sources: tuple[_SourceDocument, ...]


def name_sources(urls: Sequence[str], ca_pem: str | None) -> tuple[SourceName, ...]:
    """The sources of a command line. `ca_pem` goes to those with TLS; paths of folders become absolute.

    Raises ConfigurationError for an invalid or repeated address, and for too many.
    """
    found = [url if "://" in url else str(Path(url).absolute()) for url in map(check_source, urls)]
    if len(set(found)) != len(found):
        raise ConfigurationError("a source is named twice: name each once")
    if len(found) > MAX_SOURCES:
        raise ConfigurationError(f"there are {len(found)} sources: name at most {MAX_SOURCES}")
    secure = ("grpcs://", "https://")
    return tuple(SourceName(url, ca_pem if url.startswith(secure) else None) for url in found)


def write_sources(folder: Path, sources: Sequence[SourceName]) -> None:
    """Stores the sources in the trust folder. Raises ConfigurationError if that fails."""
    rows = [{"url": each.url, "ca_pem": each.ca_pem} for each in sources]
    document = {"format": "healthcode/sources/1", "sources": rows}
    try:
        write_atomic(folder / FILE_NAME, json.dumps(document, indent=2).encode())
    except OSError as error:
        raise ConfigurationError(f"{folder / FILE_NAME} cannot be written: {error.strerror}") from error


def read_sources(folder: Path) -> tuple[SourceName, ...]:
    """The stored sources. Raises ConfigurationError if there are none."""
    path = folder / FILE_NAME
    try:
        data = read_regular(path)
        try:
            rows = decode_json_file(_SourcesDocument, data, MAX_FILE_BYTES).sources
        except DecodeError:  # an older folder, which stores one source
            rows = (decode_json_file(_SourceDocument, data, MAX_FILE_BYTES),)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{folder} has no stored source: name one with --source") from error
    except (OSError, DecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: name a source with --source") from error
    return tuple(SourceName(row.url, row.ca_pem) for row in rows)


@contextmanager
def open_sources(
    sources: Sequence[SourceName], trust: Callable[[], TrustView | None] = lambda: None
) -> Iterator[tuple[TrustSource, ...]]:
    """Opens the sources for the duration of the block. Raises ConfigurationError for an invalid one.

    `trust` is the view in use: a registry may show a certificate of the CA that it publishes.
    """
    with ExitStack() as stack:
        yield tuple(
            stack.enter_context(open_source(each.url, ca_pem=each.ca_pem, trust=trust)) for each in sources
        )
