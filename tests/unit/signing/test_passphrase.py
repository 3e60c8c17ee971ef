"""Passphrases: from a file, a credential or a person, never empty, never readable by others."""

import pytest

from healthcode.errors import ConfigurationError
from healthcode.signing.passphrase import read_passphrase


def secret(path, data, mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [
        (b"word\n", b"word"),
        (b"word", b"word"),
        (b"word\r\n", b"word"),
        (b"word\n\n", b"word\n"),
        (b" w ", b" w "),
    ],
)
def test_one_newline_at_the_end_is_dropped(tmp_path, data, passphrase):
    """What an editor adds goes; all else stays."""
    assert read_passphrase(secret(tmp_path / "p", data)) == passphrase


def test_a_file_that_others_may_read_is_refused(tmp_path):
    """The message says which chmod to run."""
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_passphrase(secret(tmp_path / "p", b"word", 0o644))


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 1025, b"x" * 100_000])
def test_empty_and_endless_ones_are_refused(tmp_path, data):
    """Both are configuration errors that name the file."""
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        read_passphrase(secret(tmp_path / "p", data))


def test_a_missing_file_says_so(tmp_path):
    """The message names it."""
    with pytest.raises(ConfigurationError, match="missing"):
        read_passphrase(tmp_path / "none")


def test_a_systemd_credential_is_read_from_its_folder(tmp_path):
    """Mode and folder are set by systemd; the name alone is ours."""
    secret(tmp_path / "passphrase", b"word\n", 0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase(credential="passphrase", environ=environ) == b"word"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_passphrase(credential="other", environ=environ)
    with pytest.raises(ConfigurationError, match="LoadCredential=passphrase"):
        read_passphrase(credential="passphrase", environ={})


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd"])
def test_a_credential_is_a_name_and_no_path(tmp_path, name):
    """Nothing outside systemd's folder is read."""
    with pytest.raises(ConfigurationError):
        read_passphrase(credential=name, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_person_is_asked_last():
    """A prompt is used when nothing else is given, and with nothing at all the error says what to give."""
    assert read_passphrase(prompt=lambda: "口令") == "口令".encode()
    with pytest.raises(ConfigurationError, match="empty"):
        read_passphrase(prompt=lambda: "")
    with pytest.raises(ConfigurationError, match="passphrase file"):
        read_passphrase()
