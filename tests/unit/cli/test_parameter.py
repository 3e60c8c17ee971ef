"""What operators type is refused at once, with what it looks like."""

from __future__ import annotations

import click
import pytest

from healthcode.cli.parameter import ADDRESS, ENDPOINT, FINGERPRINT
from healthcode.trust.verify.roots import spoken_fingerprint


@pytest.mark.parametrize("text", ["127.0.0.1:8443", "[::1]:8443", "gateway.example:7445"])
def test_an_address_is_host_and_port(text: str) -> None:
    """As typed."""
    assert ADDRESS.convert(text, None, None) == ENDPOINT.convert(text, None, None) == text


@pytest.mark.parametrize(
    "text", ["nonsense", "", "host:", ":80", "host:65536", "::1:80", "a b:80", "https://h:80"]
)
def test_anything_else_is_a_slip(text: str) -> None:
    """Told with an example."""
    for kind in (ADDRESS, ENDPOINT):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)


def test_nobody_is_reached_at_port_0() -> None:
    """Though one may listen there, in a test."""
    assert ADDRESS.convert("127.0.0.1:0", None, None) == "127.0.0.1:0"
    with pytest.raises(click.BadParameter):
        ENDPOINT.convert("127.0.0.1:0", None, None)


def test_a_fingerprint_is_64_hex_digits() -> None:
    """Copied from a paper in capitals, or typed in groups as it was read out, is the same one."""
    whole = "sha256:" + "ab" * 32
    for text in (" SHA256:" + "AB" * 32, spoken_fingerprint(whole), "ab" * 32, "abab-" * 15 + "abab"):
        assert FINGERPRINT.convert(text, None, None) == whole
    for text in ("nonsense", "", "sha256:" + "ab" * 31, "ab" * 33, "xy" * 32):
        with pytest.raises(click.BadParameter, match="64 hex digits"):
            FINGERPRINT.convert(text, None, None)
