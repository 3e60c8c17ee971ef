"""A code as a QR picture (PNG, SVG) or as half blocks in a terminal, at error correction level M."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import segno

from healthcode.errors import InvalidInputError
from healthcode.storage.files import write_output
from healthcode.storage.owner import as_caller

__all__ = ["QrSize", "check_picture", "qr_size", "qr_terminal", "write_qr"]

_PNG_SCALE = 8
_BORDER = 4  # modules of quiet zone, ISO/IEC 18004


@dataclass(frozen=True, slots=True)
class QrSize:
    """The size of a code."""

    characters: int
    version: int  # 1 to 40

    def __str__(self) -> str:
        return f"{self.characters} characters, QR version {self.version}-M"


def _make(text: str) -> segno.QRCode:
    # boost_error would raise the level silently and make sizes incomparable
    return segno.make_qr(text, error="M", boost_error=False)


def qr_size(text: str) -> QrSize:
    """Characters and QR version of `text` at level M."""
    version = _make(text).version
    return QrSize(characters=len(text), version=int(version))


def write_qr(text: str, path: Path) -> None:
    """Writes the picture of `text` with mode 0600; the suffix of `path` (.png or .svg) says which kind.

    Raises InvalidInputError for another suffix, ConfigurationError when the file cannot be written.
    """
    kind = check_picture(path)
    picture = io.BytesIO()
    _make(text).save(picture, kind=kind, scale=_PNG_SCALE, border=_BORDER)
    # the picture is the code, so only its owner may read it
    with as_caller():
        write_output(path, picture.getvalue(), mode=0o600)


def check_picture(path: Path) -> str:
    """The kind of picture that the suffix of `path` names: png or svg. Raises InvalidInputError for another."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in {"png", "svg"}:
        raise InvalidInputError(f"{path}: a picture is written as .png or .svg")
    return kind


def qr_terminal(text: str) -> str:
    """`text` as a QR code of half-block characters, for a terminal."""
    lines = io.StringIO()
    _make(text).terminal(out=lines, compact=True, border=_BORDER)
    return lines.getvalue()
