"""Run as root, a command makes files of the folder's owner, and no link leads root's rights elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, HealthcodeError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import make_folder, open_atomic, save_file, save_files, write_new
from healthcode.storage.lock import lock
from healthcode.storage.owner import acting_as_owner, as_caller, refuse_stranger, stay_owner
from healthcode.storage.sqlite import Database
from healthcode.storage.staging import make_staging, put_in_place, remove_staging
from tests.world.users import IS_ROOT, OTHER, STRANGER, as_user, folder_of, give, owners_below


@pytest.fixture
def folder() -> Iterator[Path]:
    """A service's folder, of another user if root runs the tests."""
    with folder_of(OTHER) as made:
        yield made


def test_whatever_root_makes_there_belongs_to_the_owner(folder: Path) -> None:
    """Files, folders, locks, keys, and a database with its log: uid and gid."""
    with acting_as_owner(folder):
        save_file(folder / "proposals" / "one.json", b"{}")
        save_files({folder / "two": b"2", folder / "three": b"3"})
        make_folder(folder / "deep" / "deeper")
        write_new(folder / "new", b"n")
        with lock(folder / ".lock"):
            pass
        create_key_file(
            folder / "live.key", PrivateKey.generate(), b"a passphrase", purpose=KeyPurpose.LIVE,
            realm="test-owner", created=0, cost="development",
        )  # fmt: skip
        (folder / "by-hand").write_bytes(b"what the next module writes without knowing of owners")
        database = Database(folder / "node.db", ["CREATE TABLE t (x INTEGER)"])
        try:
            with database.transaction() as session:
                session.execute("INSERT INTO t VALUES (1)")
            names = owners_below(folder)
        finally:
            database.close()
    assert list(names) == [(OTHER, folder.stat().st_gid)]
    assert {"node.db-wal", "node.db-shm", ".lock", "live.key", "deeper"} <= set(
        names[OTHER, folder.stat().st_gid]
    )
    assert os.geteuid() == os.getuid()


def test_a_link_of_the_owner_leads_roots_rights_nowhere(folder: Path) -> None:
    """The owner may be an attacker: links to root's folders and files stay as closed to a command as to them."""
    if not IS_ROOT:
        with pytest.raises(PermissionError):  # there is no right to lead astray
            Path("/root-owns-this").mkdir()
        return
    with folder_of(0) as roots:
        secret = roots / "secret"
        secret.write_bytes(b"s")
        secret.chmod(0o600)
        roots.chmod(0o755)
        (folder / "keys").symlink_to(roots)
        (folder / "node.toml").symlink_to(secret)
        with acting_as_owner(folder):
            with pytest.raises(HealthcodeError):
                save_file(folder / "keys" / "live.key", b"k")
            with pytest.raises(PermissionError):
                (folder / "node.toml").read_bytes()
        assert owners_below(roots) == {(0, 0): ["service", "secret"]}


def test_a_folder_to_be_made_gets_the_owner_of_the_one_above(folder: Path) -> None:
    """As `init --dir` of a folder in the service's own."""
    with acting_as_owner(folder / "new" / "node"):
        make_folder(folder / "new" / "node")
    assert list(owners_below(folder)) == [(OTHER, folder.stat().st_gid)]


def test_in_roots_folder_root_stays_root(tmp_path: Path) -> None:
    """And anybody in their own."""
    with acting_as_owner(tmp_path):
        assert os.geteuid() == os.getuid()
        save_file(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_uid == os.geteuid()


def test_files_that_the_caller_named_are_read_and_written_as_the_caller(folder: Path, tmp_path: Path) -> None:
    """A passphrase file of root's opens, and a backup goes to root's folder; what is beside them is the owner's."""
    tmp_path.chmod(0o700)
    passphrase = tmp_path / "passphrase"
    passphrase.write_bytes(b"p")
    passphrase.chmod(0o600)
    with acting_as_owner(folder):
        with as_caller():
            assert passphrase.read_bytes() == b"p"
        with open_atomic(tmp_path / "backup", rights=as_caller) as out:
            (folder / "copy").write_bytes(b"c")
            out.write(b"c")
        assert os.geteuid() == OTHER
    assert list(owners_below(tmp_path)) == [(os.getuid(), os.getgid())]
    assert list(owners_below(folder)) == [(OTHER, folder.stat().st_gid)]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_made_beside_its_place_belongs_to_the_owner(folder: Path, is_there: bool) -> None:
    """As a restore makes it, in a folder where the owner may write nothing; what was there before stays aside."""
    staging, aside = folder.with_name(".service.restoring"), folder.with_name("aside")
    with acting_as_owner(folder):
        make_staging(staging)
        save_file(staging / "keys" / "file", b"")
        if not is_there:
            remove_staging(staging)
            assert not staging.exists()
            return
        put_in_place(staging, folder, aside=aside)
    assert owners_below(folder) == {(OTHER, aside.stat().st_gid): ["service", "keys", "file"]}


def test_a_stranger_is_told_whom_to_be(folder: Path) -> None:
    """Another user than the folder's owner changes nothing there; the owner and root are no strangers."""
    stranger, owner = (STRANGER, OTHER) if IS_ROOT else (OTHER, 0)
    place = folder if IS_ROOT else Path("/etc")
    marker = "node.toml" if IS_ROOT else "passwd"
    if IS_ROOT:
        place.chmod(0o755)
        (place / marker).touch()
        give(folder, owner)
    with as_user(stranger), pytest.raises(ConfigurationError) as refused:
        refuse_stranger(place, marker)
    assert (f"sudo -u '#{OTHER}'" if IS_ROOT else "sudo -u root") in refused.value.message
    with as_user(stranger):
        refuse_stranger(place, "absent.toml")  # no service's folder: a key holder may sign anywhere
    if IS_ROOT:
        place.chmod(0o700)  # as systemd makes it
        with as_user(stranger), pytest.raises(ConfigurationError):
            refuse_stranger(place, marker)
        refuse_stranger(place, marker)
        with as_user(owner):
            refuse_stranger(place, marker)


def test_a_process_that_serves_gives_root_up(folder: Path) -> None:
    """Nothing leads back: no saved user, no group."""
    child = os.fork()
    if child == 0:
        status = 1
        with acting_as_owner(folder):
            stay_owner()
            if set(os.getresuid()) == {OTHER} and set(os.getresgid()) == {folder.stat().st_gid}:
                status = 0
            if IS_ROOT and 0 in os.getgroups():
                status = 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_program_that_the_owner_cannot_read_is_told(folder: Path, tmp_path: Path) -> None:
    """A part that is loaded late, from an installation of root's alone: what to do, not a fault of ours."""
    if not IS_ROOT:  # who acts as nobody else gets the error as it is
        with pytest.raises(ModuleNotFoundError), acting_as_owner(folder):
            raise ModuleNotFoundError("No module named 'part'", name="part")
        return
    part = tmp_path / "part.py"
    part.write_text("")
    part.chmod(0o600)
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigurationError, match="cannot read the program"), acting_as_owner(folder):
        raise ModuleNotFoundError("No module named 'part'", name="part", path=str(part))
    with pytest.raises(ModuleNotFoundError), acting_as_owner(folder):
        raise ModuleNotFoundError("No module named 'x'", name="x", path="/etc/hostname")
    assert os.geteuid() == os.getuid()


def test_a_folder_that_a_third_user_could_exchange_is_refused(folder: Path, tmp_path: Path) -> None:
    """As sshd does: a link of a user's to root's folder, or a folder of root's below a user's, is not worked in."""
    if not IS_ROOT:  # another user has no rights to lose
        link = folder / "link"
        link.symlink_to(tmp_path)
        with acting_as_owner(link):
            assert os.geteuid() == OTHER
        return
    inside = folder / "of-root"
    inside.mkdir()
    link = folder / "link"
    link.symlink_to(tmp_path)
    os.lchown(link, OTHER, OTHER)
    for named in (inside, link, link / "deeper"):
        with (
            pytest.raises(ConfigurationError, match="could put something else in the place"),
            acting_as_owner(named),
        ):
            pass
    with acting_as_owner(folder):
        assert os.geteuid() == OTHER
