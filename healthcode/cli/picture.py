"""Reads the QR codes in a picture file. Pictures are untrusted: formats, bytes and pixels are limited."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import zxingcpp
from PIL import Image

from healthcode.cli.console import EXIT_FURTHER_CHECK
from healthcode.errors import InvalidInputError
from healthcode.storage.owner import as_caller
from healthcode.wire.scan import clean_scan, is_code

__all__ = ["PICTURE_SUFFIXES", "NoCodeError", "Picture", "is_picture_name", "read_picture"]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
_OTHER_SUFFIXES = frozenset({".svg", ".pdf", ".tif", ".tiff", ".heic"})
MAX_PICTURE_BYTES = 32 * 1024 * 1024
MAX_PICTURE_PIXELS = 64 * 1000 * 1000
_ENOUGH = (2400, 2400)  # pixels, of a photograph
_QR = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def is_picture_name(text: str) -> bool:
    """Whether `text` looks like the name of a picture file, even of a missing or unsupported one."""
    return Path(text).suffix.lower() in PICTURE_SUFFIXES | _OTHER_SUFFIXES


class NoCodeError(InvalidInputError):
    """A picture that nothing can be read from: nothing was decided, which is no REFUSE."""

    exit_status = EXIT_FURTHER_CHECK


class Picture(NamedTuple):
    """The texts of a picture's QR codes, cleaned, from top to bottom, each once.

    `codes` has health codes. A poster beside one is in `others`; without a health code, all are in `codes`.
    """

    codes: tuple[str, ...]
    others: tuple[str, ...]


def read_picture(path: Path) -> Picture:
    """Reads the QR codes of a picture; at least one.

    Raises InvalidInputError if the file is missing, too large or not a picture; NoCodeError if it has no readable
    QR code.
    """
    try:
        with as_caller():
            file = path.open("rb")
        with file:
            data = file.read(MAX_PICTURE_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_PICTURE_BYTES:
        raise InvalidInputError(f"{path} is larger than {MAX_PICTURE_BYTES // 1024 // 1024} MiB")
    found = zxingcpp.read_barcodes(_grey(data, path), formats=_QR)
    ordered = sorted(found, key=lambda code: code.position.top_left.y)
    texts = dict.fromkeys(clean_scan(code.text) for code in ordered if code.text)
    if not texts:
        raise NoCodeError(f"{path} shows no readable QR code: try a larger or sharper picture")
    codes = tuple(text for text in texts if is_code(text))
    return (
        Picture(codes, tuple(text for text in texts if text not in codes))
        if codes
        else Picture((*texts,), ())
    )


def _grey(data: bytes, path: Path) -> Image.Image:
    """The decoded picture on a white background, one byte a pixel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                _check_pixels(picture, path)
                # a JPEG is decoded to grey at once, and smaller if it is far larger than any code needs
                picture.draft("L", _ENOUGH)
                return _flatten(picture)
    except InvalidInputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    except Exception as error:  # picture decoders raise arbitrary exceptions
        raise InvalidInputError(
            f"{path} is not a readable picture: use PNG, JPEG, WebP, GIF or BMP"
        ) from error


def _flatten(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("L")
    drawn = picture.convert("RGBA" if picture.mode == "P" else "LA")
    page = Image.new("L", drawn.size, 255)
    page.paste(drawn.convert("L"), mask=drawn.getchannel("A"))
    return page


def _check_pixels(picture: Image.Image, path: Path) -> None:
    width, height = picture.size
    if width * height > MAX_PICTURE_PIXELS:
        raise _too_large(path)


def _too_large(path: Path) -> InvalidInputError:
    return InvalidInputError(f"{path} has more than {MAX_PICTURE_PIXELS // 1_000_000} million pixels")
