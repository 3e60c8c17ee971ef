"""Key files: what went in comes out, nothing else opens, and each failure says what to do."""

import json
import os
import stat

import pytest

from healthcode.errors import ConfigurationError, InternalError, InvalidInputError
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.keyfile import create_key_file, read_key_file, read_key_info
from healthcode.signing.purpose import KeyPurpose

SEED = bytes(range(32))


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "live.key"
    create_key_file(
        file,
        PrivateKey(SEED),
        b"pass phrase",
        purpose=KeyPurpose.LIVE,
        realm="test-a",
        participant="31",
        name="live-1",
        created=1_800_000_000,
        not_before=1_800_000_000,
        not_after=1_800_600_000,
        cost="development",
    )
    return file


def test_what_went_in_comes_out(path):
    """Seed, public key and every word about it."""
    loaded = read_key_file(path, b"pass phrase")
    assert loaded.private.seed() == SEED
    assert loaded.info == read_key_info(path)
    assert loaded.info.kid == kid(PrivateKey(SEED).public)
    assert (loaded.info.purpose, loaded.info.realm, loaded.info.participant) == (
        KeyPurpose.LIVE,
        "test-a",
        "31",
    )
    assert (loaded.info.not_before, loaded.info.not_after) == (1_800_000_000, 1_800_600_000)


def test_the_file_is_0600_whatever_the_umask(tmp_path, path):
    """Others never read a key file, and the seed is not in it."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    old = os.umask(0)
    try:
        create_key_file(
            tmp_path / "b.key",
            PrivateKey(SEED),
            b"x",
            purpose=KeyPurpose.ROOT,
            realm="cn",
            created=0,
            cost="development",
        )
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "b.key").stat().st_mode) == 0o600
    assert SEED.hex() not in path.read_text()


def test_a_key_file_is_never_overwritten(path):
    """Making it again is refused and leaves the first as it was."""
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        create_key_file(path, PrivateKey(SEED), b"x", purpose=KeyPurpose.LIVE, realm="cn", created=0)
    assert path.read_bytes() == before


def test_a_missing_file_says_so(tmp_path):
    """The message names the file and what to do, and the exit status is that of a configuration error."""
    with pytest.raises(ConfigurationError, match=r"key file .*gone\.key is missing: restore") as caught:
        read_key_file(tmp_path / "gone.key", b"x")
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o700])
def test_a_file_that_others_may_read_stops_the_start(path, mode):
    """The message says which chmod to run."""
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        read_key_file(path, b"pass phrase")


def test_mode_0400_is_good(path):
    """A read-only key file is fine."""
    path.chmod(0o400)
    assert read_key_file(path, b"pass phrase").info.participant == "31"


@pytest.mark.parametrize("passphrase", [b"", b"pass phrasE", b"pass phrase\n"])
def test_a_wrong_passphrase_says_so(path, passphrase):
    """The message names the file, never the passphrase."""
    with pytest.raises(ConfigurationError, match=rf"the passphrase does not open {path}"):
        read_key_file(path, passphrase)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purpose", "PAPER"),
        ("realm", "cn"),
        ("participant", "44"),
        ("participant", None),
        ("name", "live-2"),
        ("public", PrivateKey(bytes(32)).public.hex()),
        ("not_after", "2099-01-01T00:00:00Z"),
        ("not_after", None),
        ("created", "2020-01-01T00:00:00Z"),
    ],
)
def test_a_relabelled_file_does_not_open(path, field, value):
    """Changing anything that stands in clear is found when the file is opened."""
    document = json.loads(path.read_text())
    document[field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match="was changed after it was made"):
        read_key_file(path, b"pass phrase")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other/1"},
        {"purpose": "MINT"},
        {"purpose": "INDEX"},
        {"realm": "moon"},
        {"public": "zz"},
        {"public": "00"},
        {"created": "yesterday"},
        {"created": 5},
        {"box": "!"},
        {"box": "AAAA"},
        {"box": "\u00e9AAA"},
        {"extra": 1},
        {"kdf": {"name": "argon2id13", "salt": "AAAA", "operations": 1, "memory_bytes": 65536}},
        {"kdf": {"name": "argon2id13", "salt": "", "operations": 11, "memory_bytes": 65536}},
        {"kdf": {"name": "argon2id13", "salt": "", "operations": 1, "memory_bytes": 2**40}},
        {"kdf": {"name": "none"}},
    ],
)
def test_a_foreign_file_is_refused_before_any_work(path, change):
    """A format, a purpose or a cost that is not ours is named, and costs nothing."""
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigurationError, match="is no key file of format"):
        read_key_file(path, b"pass phrase")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"x" * 20_000, b'{"format": NaN}'])
def test_garbage_is_refused(path, data):
    """What is no JSON of ours is a typed error."""
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match="is no key file"):
        read_key_info(path)


def test_a_folder_is_no_key_file(tmp_path):
    """A folder in its place is told as such."""
    (tmp_path / "d").mkdir(mode=0o600)
    with pytest.raises(ConfigurationError, match="no regular file"):
        read_key_file(tmp_path / "d", b"x")


def test_a_folder_that_is_not_there_says_so(tmp_path):
    """Writing into nowhere is a configuration error and no traceback."""
    with pytest.raises(ConfigurationError, match="cannot be written"):
        create_key_file(
            tmp_path / "no" / "x.key",
            PrivateKey(SEED),
            b"x",
            purpose=KeyPurpose.LIVE,
            realm="cn",
            created=0,
            cost="development",
        )


def test_index_secrets_sign_nothing(tmp_path):
    """INDEX holds 32 bytes; it has no kid and gives no signing key, and the other purposes take no bare bytes."""
    file = tmp_path / "index.key"
    create_key_file(
        file,
        SEED,
        b"x",
        purpose=KeyPurpose.INDEX,
        realm="cn",
        participant="31",
        created=0,
        cost="development",
    )
    loaded = read_key_file(file, b"x")
    assert loaded.secret == SEED
    with pytest.raises(InternalError):
        _ = loaded.private
    with pytest.raises(InternalError):
        _ = loaded.info.kid
    for purpose, secret in ((KeyPurpose.INDEX, PrivateKey(SEED)), (KeyPurpose.LIVE, SEED)):
        with pytest.raises(InvalidInputError):
            create_key_file(tmp_path / "no.key", secret, b"x", purpose=purpose, realm="cn", created=0)
    assert not (tmp_path / "no.key").exists()


def test_reprs_hide_the_secret(path):
    """What ends in a log by accident holds no key byte."""
    loaded = read_key_file(path, b"pass phrase")
    assert repr(SEED)[2:20] not in repr(loaded)


def test_production_cost_is_the_default(tmp_path):
    """64 MiB and three passes unless development is asked for."""
    file = tmp_path / "root.key"
    create_key_file(file, PrivateKey(SEED), b"x", purpose=KeyPurpose.ROOT, realm="cn", created=0)
    kdf = json.loads(file.read_text())["kdf"]
    assert (kdf["operations"], kdf["memory_bytes"]) == (3, 64 * 1024 * 1024)
    assert read_key_file(file, b"x").secret == SEED
