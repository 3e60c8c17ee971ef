"""Where a trust folder is fed from: named once at `trust init`, kept beside the trust.

    grpcs://host:port    the registry's public listener; needs its CA
    file:///folder, or a folder's path    a copy of the trust tree, e.g. carried by hand

The source is a convenience, never a matter of trust: whatever it serves is verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from healthcode.errors import ConfigurationError, DecodeError
from healthcode.rpc.source import connect_source
from healthcode.settings import split_address
from healthcode.trust.document import Document, decode_document
from healthcode.trust.source import FolderSource, TrustSource

__all__ = ["SourceName", "open_source", "read_source", "write_source"]

FILE_NAME = "source.json"
MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source by its URL; `ca_pem` for those that need one."""

    url: str
    ca_pem: str | None = None


class _SourceDocument(Document):
    format: Literal["healthcode/source/1"] = "healthcode/source/1"
    url: str
    ca_pem: str | None = None


def write_source(folder: Path, source: SourceName) -> None:
    """Remembers the source in the trust folder. Raises ConfigurationError when it cannot be written."""
    document = {"format": "healthcode/source/1", "url": source.url, "ca_pem": source.ca_pem}
    try:
        (folder / FILE_NAME).write_text(json.dumps(document, indent=2))
    except OSError as error:
        raise ConfigurationError(f"{folder / FILE_NAME} cannot be written: {error.strerror}") from error


def read_source(folder: Path) -> SourceName:
    """The source that the folder was begun with. Raises ConfigurationError when there is none."""
    path = folder / FILE_NAME
    try:
        document = decode_document(_SourceDocument, path.read_bytes(), MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{folder} remembers no source: name one with --source") from error
    except (OSError, DecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: name a source with --source") from error
    return SourceName(document.url, document.ca_pem)


@contextmanager
def open_source(source: SourceName) -> Iterator[TrustSource]:
    """The source, for as long as the block runs. Raises ConfigurationError for one that cannot be meant."""
    url = urlsplit(source.url)
    if url.scheme == "grpcs":
        try:
            split_address(url.netloc)
        except ValueError as error:
            raise ConfigurationError(f"{source.url} is no source: {error}") from error
        if source.ca_pem is None:
            raise ConfigurationError(
                f"{source.url} needs the CA of the registry's certificate: give --ca FILE"
            )
        with connect_source(url.netloc, ca_pem=source.ca_pem) as registry:
            yield registry
    elif url.scheme == "file" and not url.netloc:
        yield FolderSource(Path(unquote(url.path)))
    elif "://" not in source.url:
        yield FolderSource(Path(source.url))
    else:
        raise ConfigurationError(
            f"{source.url} is no source: write grpcs://host:port, or the path of a folder"
        )
