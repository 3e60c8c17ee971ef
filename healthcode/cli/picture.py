"""Reads the QR codes in a picture file. Pictures are untrusted: formats, bytes and pixels are limited."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import zxingcpp
from PIL import Image

from healthcode.errors import InvalidInputError
from healthcode.storage.owner import as_caller

__all__ = ["PICTURE_SUFFIXES", "is_picture_name", "read_picture"]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
_OTHER_SUFFIXES = frozenset({".svg", ".pdf", ".tif", ".tiff", ".heic"})
MAX_PICTURE_BYTES = 32 * 1024 * 1024
MAX_PICTURE_PIXELS = 64 * 1000 * 1000
_QR = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def is_picture_name(text: str) -> bool:
    """Whether `text` looks like the name of a picture file, even of a missing or unsupported one."""
    return Path(text).suffix.lower() in PICTURE_SUFFIXES | _OTHER_SUFFIXES


def read_picture(path: Path) -> list[str]:
    """The texts of the QR codes in the picture, from top to bottom; at least one.

    Raises InvalidInputError if the file is missing, too large, not a picture, or has no readable QR code.
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
    texts = [code.text for code in sorted(found, key=lambda code: code.position.top_left.y) if code.text]
    if not texts:
        raise InvalidInputError(f"{path} shows no readable QR code: try a larger or sharper picture")
    return texts


def _grey(data: bytes, path: Path) -> Image.Image:
    """The decoded picture on a white background, one byte a pixel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                _check_pixels(picture, path)
                drawn = picture.convert("RGBA")
    except InvalidInputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    except Exception as error:  # picture decoders raise arbitrary exceptions
        raise InvalidInputError(
            f"{path} is not a readable picture: use PNG, JPEG, WebP, GIF or BMP"
        ) from error
    page = Image.new("RGBA", drawn.size, "white")
    page.alpha_composite(drawn)
    return page.convert("L")


def _check_pixels(picture: Image.Image, path: Path) -> None:
    width, height = picture.size
    if width * height > MAX_PICTURE_PIXELS:
        raise _too_large(path)


def _too_large(path: Path) -> InvalidInputError:
    return InvalidInputError(f"{path} has more than {MAX_PICTURE_PIXELS // 1_000_000} million pixels")
