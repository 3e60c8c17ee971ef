"""healthcode.cli.picture: what a QR picture says, and a plain sentence for all that is none."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import segno
from PIL import Image

from healthcode.cli.picture import is_picture_name, read_picture
from healthcode.errors import InvalidInputError

TEXT = "CNHT1:6BF%20 0*$+-./:" + "AZ09" * 40


def draw(path: Path, text: str = TEXT, **options: object) -> Path:
    segno.make_qr(text, error="M").save(str(path), scale=6, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to nothing in it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


def test_reads_back_what_was_drawn(tmp_path: Path) -> None:
    """The text comes back to the character, spaces and all."""
    assert read_picture(draw(tmp_path / "code.png")).codes == (TEXT,)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif", "bmp"])
def test_reads_other_formats(tmp_path: Path, suffix: str) -> None:
    """A photograph or a saved page works as well as a PNG."""
    draw(tmp_path / "code.png")
    path = tmp_path / f"code.{suffix}"
    with Image.open(tmp_path / "code.png") as picture:
        picture.convert("RGB").save(path)
    assert read_picture(path).codes == (TEXT,)


def test_transparent_ground_is_white(tmp_path: Path) -> None:
    """A code drawn on nothing reads like one on paper."""
    assert read_picture(draw(tmp_path / "code.png", light=None)).codes == (TEXT,)


def test_several_codes_come_from_top_to_bottom(tmp_path: Path) -> None:
    """A page with two codes gives both, in reading order."""
    page = Image.new("L", (900, 1800), 255)
    for row, text in enumerate(("CNHT1:FIRST", "CNHT1:SECOND")):
        drawn = io.BytesIO()
        segno.make_qr(text, error="M").save(drawn, kind="png", scale=8)
        with Image.open(drawn) as picture:
            page.paste(picture.convert("L"), (100, 100 + row * 900))
    page.save(tmp_path / "page.png")
    assert read_picture(tmp_path / "page.png").codes == ("CNHT1:FIRST", "CNHT1:SECOND")


def test_a_picture_without_a_code_says_so(tmp_path: Path) -> None:
    """A blank picture is no code, and the message says what may help."""
    Image.new("L", (200, 200), 255).save(tmp_path / "blank.png")
    with pytest.raises(InvalidInputError, match="shows no readable QR code"):
        read_picture(tmp_path / "blank.png")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"CNHT1:ABC\n",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        png_header(9, 9),
        bytes(1000),
    ],
)
def test_garbage_is_no_picture(tmp_path: Path, data: bytes) -> None:
    """Whatever is in the file, the answer is one sentence of ours."""
    path = tmp_path / "code.png"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match=r"not a readable picture|no readable QR code"):
        read_picture(path)


def test_truncated_pictures_are_refused(tmp_path: Path) -> None:
    """A picture cut anywhere raises our own error or still reads right."""
    whole = draw(tmp_path / "code.png").read_bytes()
    path, refused = tmp_path / "cut.png", 0
    for end in range(0, len(whole), max(1, len(whole) // 50)):
        path.write_bytes(whole[:end])
        try:
            assert read_picture(path).codes == (TEXT,)
        except InvalidInputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (9_000, 9_000), (2_000_000_000, 2)])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, width: int, height: int) -> None:
    """A small file that claims a huge picture costs nothing."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(width, height))
    with pytest.raises(InvalidInputError, match="64 million pixels"):
        read_picture(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """The path and the cause stand in the message."""
    with pytest.raises(InvalidInputError, match=r"none\.png cannot be read: No such file"):
        read_picture(tmp_path / "none.png")


def test_names_of_pictures() -> None:
    """A name is judged by its suffix, in any case."""
    assert is_picture_name("code.PNG")
    assert is_picture_name("a/b.jpeg")
    assert not is_picture_name("CNHT1:ABC")
    assert not is_picture_name("png")


def page_of(path: Path, *texts: str) -> Path:
    page = Image.new("L", (900, 900 * len(texts)), 255)
    for row, text in enumerate(texts):
        drawn = io.BytesIO()
        segno.make_qr(text, error="M").save(drawn, kind="png", scale=8)
        with Image.open(drawn) as picture:
            page.paste(picture.convert("L"), (100, 100 + row * 900))
    page.save(path)
    return path


def test_a_poster_beside_a_code_does_not_count(tmp_path: Path) -> None:
    """Another QR code is listed apart; without a health code it is all there is."""
    both = page_of(tmp_path / "both.png", "https://example.org/venue", "CNHT1:FIRST")
    assert read_picture(both) == (("CNHT1:FIRST",), ("https://example.org/venue",))
    alone = page_of(tmp_path / "alone.png", "https://example.org/venue")
    assert read_picture(alone) == (("https://example.org/venue",), ())


def test_the_same_code_twice_is_one(tmp_path: Path) -> None:
    """A screenshot of a screenshot, or a mirror, makes no second person."""
    assert read_picture(page_of(tmp_path / "twice.png", TEXT, TEXT)).codes == (TEXT,)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "jpg"), ("RGB", "png"), ("RGBA", "png"), ("LA", "png"), ("P", "png")]
)
def test_a_large_picture_takes_little_memory(tmp_path: Path, mode: str, suffix: str) -> None:
    """Fewer than nine bytes a pixel, in a process of its own."""
    path = tmp_path / f"large.{suffix}"
    page = Image.new("L", (3000, 3000), 255)
    segno.make_qr(TEXT, error="M").save(buffer := io.BytesIO(), kind="png", scale=26)
    with Image.open(buffer) as picture:
        page.paste(picture.convert("L"), (500, 500))
    page.convert(mode).save(path)
    script = (
        "import resource, sys; from pathlib import Path; from healthcode.cli.picture import read_picture;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "codes = read_picture(Path(sys.argv[1])).codes;"
        "print(len(codes), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    found, kilobytes = map(int, done.stdout.split())
    assert found == 1
    assert kilobytes * 1024 < 9 * 3000 * 3000
