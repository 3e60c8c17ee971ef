"""Another passphrase: the same key, never a moment without a file that opens."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.signing import relock
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import create_key_file, read_key_cost, read_key_file, read_key_info
from healthcode.signing.purpose import KeyPurpose
from healthcode.signing.relock import change_passphrase, replace_passphrase_file

OLD, NEW = b"the old passphrase", b"the new passphrase"


def make(folder: Path, name: str, purpose: KeyPurpose = KeyPurpose.LIVE) -> Path:
    path = folder / f"{name}.key"
    secret = b"i" * 32 if purpose is KeyPurpose.INDEX else PrivateKey.generate()
    create_key_file(
        path, secret, OLD, purpose=purpose, realm="test-relock", participant="31", name=name,
        created=5, not_before=10, not_after=20, cost="development",
    )  # fmt: skip
    return path


@pytest.mark.parametrize("purpose", [KeyPurpose.LIVE, KeyPurpose.INDEX, KeyPurpose.ROOT])
def test_the_key_stays_and_the_old_passphrase_opens_it_no_more(tmp_path: Path, purpose: KeyPurpose) -> None:
    """All that the file says, its mode and how slowly it opens stay as they were; nothing else is left there."""
    path = make(tmp_path, "one", purpose)
    before, cost = read_key_file(path, OLD), read_key_cost(path)
    assert change_passphrase([path], OLD, NEW) == [path]
    after = read_key_file(path, NEW)
    assert (after.info, after.secret, read_key_cost(path)) == (before.info, before.secret, cost)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigurationError, match="does not open"):
        read_key_file(path, OLD)


def test_a_change_that_broke_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some files with the new passphrase, some with the old: each opens, and doing it again does the rest."""
    paths = [make(tmp_path, name) for name in ("a", "b", "c")]
    real = relock._relock  # the write of one file: here the power fails

    def fails_at_b(path: Path, *rest: object) -> None:
        if path.stem == "b":
            raise OSError("power failure")
        real(path, *rest)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(relock, "_relock", fails_at_b)
    with pytest.raises(OSError, match="power"):
        change_passphrase(paths, OLD, NEW)
    read_key_file(paths[0], NEW)
    read_key_file(paths[1], OLD)
    monkeypatch.undo()
    assert change_passphrase(paths, OLD, NEW) == paths[1:]
    assert change_passphrase(paths, OLD, NEW) == []
    for path in paths:
        read_key_file(path, NEW)


def test_what_a_kill_left_is_swept(tmp_path: Path) -> None:
    """Between writing and renaming there are two files; done again, there is one, also where it was done already."""
    paths = [make(tmp_path, name) for name in ("a", "b")]
    change_passphrase(paths[:1], OLD, NEW)
    for path in paths:
        (tmp_path / f".{path.name}.0123abcd").write_bytes(path.read_bytes())
    change_passphrase(paths, OLD, NEW)
    assert sorted(tmp_path.iterdir()) == paths


def test_one_file_that_does_not_open_stops_it_before_any_is_changed(tmp_path: Path) -> None:
    """A wrong passphrase, or a foreign file among them: nothing is touched, and the file is named."""
    paths = [make(tmp_path, name) for name in ("a", "b")]
    held = [path.read_bytes() for path in paths]
    with pytest.raises(ConfigurationError, match=r"a\.key"):
        change_passphrase(paths, b"a wrong passphrase", NEW)
    (tmp_path / "c.key").write_text("no key")
    (tmp_path / "c.key").chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"c\.key is no key file"):
        change_passphrase([*paths, tmp_path / "c.key"], OLD, NEW)
    assert [path.read_bytes() for path in paths] == held


@pytest.mark.parametrize("new", [b"short", OLD])
def test_a_new_passphrase_is_long_and_new(tmp_path: Path, new: bytes) -> None:
    """Under twelve characters, or the same again, is refused."""
    path = make(tmp_path, "one")
    with pytest.raises(InvalidInputError):
        change_passphrase([path], OLD, new)
    assert read_key_info(path).purpose is KeyPurpose.LIVE
    read_key_file(path, OLD)


def test_the_passphrase_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It is replaced whole, mode 0600, whatever was there."""
    path = tmp_path / "passphrase"
    path.write_bytes(OLD)
    path.chmod(0o644)
    replace_passphrase_file(path, NEW)
    assert path.read_bytes() == NEW + b"\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
