"""Codes as pictures."""

from __future__ import annotations

import pytest

from healthcode.cli.picture import read_picture
from healthcode.errors import ConfigurationError, InvalidInputError
from province_node.codes.qr import qr_size, qr_terminal, write_qr

TEXT = "CNHT1:" + "NCFOXN%TS3DH3ZSUZK+.V0ETD%65NL-AH" * 6


def test_a_png_reads_back(tmp_path):
    """What is drawn as a PNG is what a reader sees."""
    write_qr(TEXT, tmp_path / "code.png")
    assert read_picture(tmp_path / "code.png").codes == (TEXT,)


def test_an_svg_is_written_whole(tmp_path):
    """The other kind of picture is one SVG document."""
    write_qr(TEXT, tmp_path / "code.svg")
    text = (tmp_path / "code.svg").read_text()
    assert "<svg" in text
    assert text.rstrip().endswith("</svg>")


@pytest.mark.parametrize("name", ["code.gif", "code", "missing/code.png"])
def test_another_kind_or_place_is_refused(tmp_path, name):
    """A suffix that is not drawn, or a folder that is not there, is one sentence."""
    with pytest.raises((InvalidInputError, ConfigurationError)):
        write_qr(TEXT, tmp_path / name)


@pytest.mark.parametrize("name", ["code.png", "code.svg"])
def test_a_picture_is_for_its_owner(tmp_path, name):
    """Whoever can read the picture has the code: mode 0600, also where a file of another mode lay."""
    (tmp_path / name).write_text("old")
    write_qr(TEXT, tmp_path / name)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("characters", "version"), [(178, 7), (179, 8), (221, 8), (222, 9), (262, 9)])
def test_sizes_are_those_of_the_standard(characters, version):
    """ISO/IEC 18004 at level M: 7-M holds 178 alphanumeric characters, 8-M 221, 9-M 262."""
    assert qr_size("A" * characters).version == version
    assert str(qr_size("A" * characters)) == f"{characters} characters, QR version {version}-M"


def test_a_terminal_shows_it_in_half_blocks():
    """The terminal form has a line for two rows of modules."""
    assert len(qr_terminal(TEXT).splitlines()) >= 25
