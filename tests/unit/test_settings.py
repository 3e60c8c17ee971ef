"""Configuration files are read strictly, and every refusal names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError
from healthcode.settings import (
    FilePath,
    ListenAddress,
    LogSettings,
    Settings,
    TlsSettings,
    load_settings,
    split_address,
)


class Trust(Settings):
    folder: FilePath = Path("trust")


class Example(Settings):
    name: str
    listen: ListenAddress = "127.0.0.1:7443"
    retries: int = 3
    tls: TlsSettings | None = None
    trust: Trust = Trust()
    log: LogSettings = LogSettings()


def load(tmp_path: Path, text: str) -> Example:
    path = tmp_path / "example.toml"
    path.write_text(text)
    return load_settings(path, Example)


def test_a_good_file(tmp_path: Path) -> None:
    """Values arrive, and relative paths count from the file's folder, defaults included."""
    found = load(
        tmp_path,
        'name = "x"\nlisten = "[::1]:0"\n[tls]\ncertificate = "tls/a.pem"\nprivate_key = "/etc/k"\nca = "../ca.pem"\n',
    )
    assert found.listen == "[::1]:0"
    assert found.tls is not None
    assert found.tls.certificate == tmp_path / "tls/a.pem"
    assert found.tls.private_key == Path("/etc/k")
    assert found.tls.ca == tmp_path / "../ca.pem"
    assert found.trust.folder == tmp_path / "trust"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nlissten = "a:1"', "unknown key `lissten`; did you mean `listen`?"),
        ('name = "x"\n[log]\nlevle = "info"', "unknown key `levle` in [log]; did you mean `level`?"),
        ('name = "x"\n[nothing.like.it]\na = 1', "unknown key `nothing`"),
        ("", "`name` is missing"),
        ('name = "x"\n[tls]\ncertificate = "a"\nca = "b"', "`private_key` is missing in [tls]"),
        ('name = "x"\nretries = "3"', "`retries`: input should be a valid integer"),
        ('name = "x"\nretries = true', "`retries`: input should be a valid integer"),
        ('name = "x"\nlisten = "7443"', "`listen`: write host:port"),
        ('name = "x"\nlisten = "::1:80"', "`listen`: write host:port"),
        ('name = "x"\nlisten = "a:70000"', "`listen`: '70000' is not a port"),
        ('name = "x"\n[trust]\nfolder = ""', "`folder` in [trust]: a path may not be empty"),
        ('name = "x"\n[log]\nlevel = "loud"', "`level` in [log]"),
        ('name = "x"\nname = "y"', "this is not TOML"),
        ("name = ", "this is not TOML"),
    ],
)
def test_a_refusal_names_the_key(tmp_path: Path, text: str, message: str) -> None:
    """File, key, section, and a near word."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert "example.toml: " in caught.value.message
    assert message in caught.value.message


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """One run, all that is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, 'listen = "x"\nretries = 1.5\nextra = 1')
    assert len(caught.value.message.splitlines()) == 4


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8, too large: each a sentence."""
    with pytest.raises(ConfigurationError, match="is missing: run `init`"):
        load_settings(tmp_path / "nothing.toml", Example)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path, Example)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not TOML"):
        load_settings(tmp_path / "bytes.toml", Example)
    (tmp_path / "large.toml").write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigurationError, match="larger"):
        load_settings(tmp_path / "large.toml", Example)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:7443", ("::1", 7443)), ("localhost:1", ("localhost", 1))],
)
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    """IPv4, IPv6 in brackets, names."""
    assert split_address(text) == parts
