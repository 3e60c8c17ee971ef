"""A trust folder that lost something, and a source that lags: nothing that was accepted goes back."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthcode.cli.__main__ import cli
from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, Reason, TrustError, UnavailableError
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome
from healthcode.revocation.state import RevocationStatus
from healthcode.trust import client as client_module
from healthcode.trust.client import TrustClient
from healthcode.trust.disk.read import read_generation, reading
from healthcode.trust.disk.write import KEPT
from healthcode.trust.store import TrustStore, read_bootstrap
from healthcode.trust.view import TrustView
from healthcode.verification.verdict import Verdict
from healthcode.verification.verifier import Verifier
from tests.simulator.realm import SimulatedRealm


def unlink_current(folder: Path) -> None:
    (folder / "current").unlink()


def current_is_a_file(folder: Path) -> None:
    (folder / "current").unlink()
    (folder / "current").write_text("generations/1")


def flip(place: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        path = folder / "current" / place
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink()  # it may be a link to another generation's
        path.write_bytes(data)

    harm.__name__ = f"flip {place}"
    return harm


def pipe(place: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        path = folder / place
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    harm.__name__ = f"pipe {place}"
    return harm


def current_is_a_folder(folder: Path) -> None:
    """As after a copy that followed links."""
    there = (folder / "current").resolve()
    (folder / "current").unlink()
    shutil.copytree(there, folder / "current")


def no_lists(folder: Path) -> None:
    for path in (folder / "current" / "lists").iterdir():
        path.unlink()


def everything(folder: Path) -> None:
    shutil.rmtree(folder / "generations")


HARMS = [
    unlink_current,
    current_is_a_file,
    flip("metadata/snapshot.json"),
    flip("metadata/timestamp.json"),
    flip("metadata/targets.json"),
    flip("metadata/province-31-live.json"),
    flip("manifest.json"),
    no_lists,
    current_is_a_folder,
    pipe("current/metadata/snapshot.json"),
    pipe("current/manifest.json"),
    pipe("clock.json"),
    pipe("clock.json.new"),
    pipe("current.new"),
    pipe("source.json"),
]


def name_of(harm: Callable[[Path], None]) -> str:
    return harm.__name__


def is_revoked(view: TrustView, expires: int) -> bool:
    state = view.issuers["31"].revocations
    assert state is not None
    return state.status(7, expires) is RevocationStatus.REVOKED


@pytest.fixture
def expires(realm: SimulatedRealm) -> int:
    return realm.now + 3600


@pytest.fixture
def older(realm: SimulatedRealm, client: TrustClient, expires: int) -> SimulatedRealm:
    """The source as it was before 31 revoked its code 7, which the client has heard of."""
    before = realm.fork()
    realm.revoke("31", 7, expires)
    realm.publish_live("31")
    realm.publish()
    client.refresh(realm.now)
    return before


@pytest.mark.parametrize("generations", [1, 2])
@pytest.mark.parametrize("harm", HARMS, ids=name_of)
def test_a_restart_with_a_damaged_folder_never_goes_back(
    realm: SimulatedRealm,
    older: SimulatedRealm,
    folder: Path,
    expires: int,
    harm: Callable[[Path], None],
    generations: int,
) -> None:
    """What one harm leaves of the folder is enough to refuse an older source; an honest one mends it."""
    if generations == 1:
        shutil.rmtree(folder / "generations" / "1")
    harm(folder)
    lagging = TrustClient(folder, older)
    with pytest.raises(TrustError) as caught:
        lagging.refresh(realm.now)
    assert caught.value.reason is Reason.TRUST_ROLLBACK
    mended = TrustClient(folder, realm).refresh(realm.now)
    assert is_revoked(mended.view, expires)
    store = TrustStore.open(folder)
    assert store.warnings == ()
    assert is_revoked(store.view, expires)


@pytest.mark.parametrize("harm", [*HARMS, everything], ids=name_of)
def test_a_running_client_goes_on_from_memory(
    realm: SimulatedRealm,
    older: SimulatedRealm,
    client: TrustClient,
    folder: Path,
    expires: int,
    harm: Callable[[Path], None],
) -> None:
    """A client that runs holds what it accepted, whatever becomes of its folder, and writes it there again."""
    running = TrustClient(folder, older)
    running.open()
    harm(folder)
    with pytest.raises(HealthcodeError):
        running.refresh(realm.now)
    assert running.view is not None
    assert is_revoked(running.view, expires)
    realm.now += 60
    realm.sign_timestamp()
    assert is_revoked(client.refresh(realm.now).view, expires)
    realm.publish_live("11")
    realm.publish()
    client.refresh(realm.now)
    assert is_revoked(TrustStore.open(folder).view, expires)


def put_back_older(folder: Path) -> None:
    """As after a restore of a backup: the generation before, under the link that names it."""
    (folder / "current").unlink()
    (folder / "current").symlink_to("generations/1")
    shutil.rmtree(folder / "generations" / "2")


@pytest.mark.parametrize(
    "harm",
    [put_back_older, everything, flip("manifest.json"), pipe("current/manifest.json")],
    ids=["older copy put back", "emptied", "manifest flipped", "manifest a pipe"],
)
@pytest.mark.usefixtures("older")
def test_what_a_running_client_repairs_is_whole(
    realm: SimulatedRealm, client: TrustClient, folder: Path, expires: int, harm: Callable[[Path], None]
) -> None:
    """Where only the timestamp is new, the repaired folder has its revocation lists: a restart goes on refusing."""
    harm(folder)
    realm.now += 60
    realm.sign_timestamp()
    client.refresh(realm.now)
    store = TrustStore.open(folder)
    assert store.warnings == ()
    assert is_revoked(store.view, expires)


PROOFS = ("metadata/timestamp.json", "metadata/snapshot.json")


@pytest.mark.parametrize(
    "place", ["metadata/province-31-live.json", "metadata/targets.json", "manifest.json", *PROOFS]
)
@pytest.mark.usefixtures("older")
def test_one_flipped_bit_lets_no_revoked_code_pass(
    realm: SimulatedRealm, folder: Path, expires: int, place: str
) -> None:
    """The generation before serves, and what is left of the newer one proves that it is older: STALE."""
    code = realm.code("31", 7, issued_at=realm.now - 60, expires_at=expires)
    assert verdict_on(folder, code, realm.now).outcome is Outcome.REVOKED
    flip(place)(folder)
    verdict = verdict_on(folder, code, realm.now)
    assert (verdict.outcome, verdict.decision) == (Outcome.STALE_TRUST, Decision.UNDECIDED)
    assert verdict.trust_tier is TrustTier.STALE
    assert "TRUST_DAMAGED" in verdict.warnings


def current_put_back(folder: Path) -> None:
    (folder / "current").unlink()
    (folder / "current").symlink_to("generations/1")


def newest_removed(folder: Path) -> None:
    shutil.rmtree(folder / "generations" / "2")


def proofs_flipped(folder: Path) -> None:
    for place in PROOFS:
        flip(place)(folder)


@pytest.mark.parametrize(
    "harm", [put_back_older, current_put_back, newest_removed, proofs_flipped], ids=name_of
)
@pytest.mark.usefixtures("older")
def test_an_older_copy_put_back_lets_no_revoked_code_pass(
    realm: SimulatedRealm, folder: Path, expires: int, harm: Callable[[Path], None]
) -> None:
    """What the folder noted of its newest trust proves that the copy is older: STALE, and in every verdict; a refresh mends it."""
    code = realm.code("31", 7, issued_at=realm.now - 60, expires_at=expires)
    harm(folder)
    verdict = verdict_on(folder, code, realm.now)
    assert (verdict.outcome, verdict.decision) == (Outcome.STALE_TRUST, Decision.UNDECIDED)
    assert "TRUST_DAMAGED" in verdict.warnings
    TrustClient(folder, realm).refresh(realm.now)
    store = TrustStore.open(folder)
    assert store.warnings == ()
    assert is_revoked(store.view, expires)


@pytest.mark.parametrize("harm", [pipe("newest.json"), unlink_current], ids=name_of)
def test_a_note_of_the_newest_trust_is_never_a_false_alarm(
    realm: SimulatedRealm, client: TrustClient, folder: Path, harm: Callable[[Path], None]
) -> None:
    """A folder whose note is unreadable or absent, or that lost its link, opens without a warning, after new timestamps too."""
    publish_often(realm, client, 2)
    realm.now += 60
    realm.sign_timestamp()
    client.refresh(realm.now)
    harm(folder)
    assert TrustStore.open(folder).warnings == ()


@pytest.mark.parametrize("both", [False, True])
def test_an_older_copy_put_back_is_seen_across_a_rotation_of_the_timestamp_key(
    realm: SimulatedRealm, client: TrustClient, folder: Path, expires: int, both: bool
) -> None:
    """The root before knows no key that signed the note of the newest trust: STALE until a refresh, never FRESH."""
    shutil.copytree(folder, older := folder.with_name("older"), symlinks=True)
    realm.rotate_root(timestamp_key=realm.key("ts2"), snapshot_key=realm.key("sn2") if both else None)
    realm.revoke("31", 7, expires)
    publish_often(realm, client, 1)
    shutil.rmtree(folder / "generations")
    (folder / "current").unlink()
    shutil.copytree(older / "generations", folder / "generations")
    (folder / "current").symlink_to((older / "current").readlink())
    code = realm.code("31", 7, issued_at=realm.now - 60, expires_at=expires)
    verdict = verdict_on(folder, code, realm.now)
    assert (verdict.outcome, verdict.decision) == (Outcome.STALE_TRUST, Decision.UNDECIDED)
    assert "TRUST_DAMAGED" in verdict.warnings
    TrustClient(folder, realm).refresh(realm.now)
    assert TrustStore.open(folder).warnings == ()
    assert is_revoked(TrustStore.open(folder).view, expires)


@pytest.mark.parametrize("note", [b"", b"\xff{", b'{"signed": 1}'])
def test_rubbish_in_the_note_of_the_newest_trust_is_stale_until_a_refresh(
    realm: SimulatedRealm, client: TrustClient, folder: Path, note: bytes
) -> None:
    """A note that nothing vouches for proves no health, and the next refresh writes it again."""
    (folder / "newest.json").write_bytes(note)
    assert TrustStore.open(folder).view.is_superseded
    client = TrustClient(folder, realm)
    client.refresh(realm.now)
    store = TrustStore.open(folder)
    assert (store.warnings, store.view.is_superseded) == ((), False)


def test_a_note_from_before_a_rotation_of_the_timestamp_key_is_no_alarm(
    realm: SimulatedRealm, client: TrustClient, folder: Path
) -> None:
    """A program that was killed before it wrote the note leaves that of the root before, which is known."""
    note = (folder / "newest.json").read_bytes()
    realm.rotate_root(timestamp_key=realm.key("ts2"))
    publish_often(realm, client, 1)
    (folder / "newest.json").write_bytes(note)
    store = TrustStore.open(folder)
    assert (store.warnings, store.view.is_superseded) == ((), False)


@pytest.mark.usefixtures("older")
def test_damage_that_leaves_no_proof_is_in_every_verdict(
    realm: SimulatedRealm, folder: Path, expires: int
) -> None:
    """Nothing proves that the lost generation was newer, so the verdict stands, with a warning."""
    proofs_flipped(folder)
    (folder / "newest.json").unlink(missing_ok=True)
    code = realm.code("31", 8, issued_at=realm.now - 60, expires_at=expires)
    verdict = verdict_on(folder, code, realm.now)
    assert verdict.decision is Decision.PASS
    assert "TRUST_DAMAGED" in verdict.warnings


@pytest.mark.usefixtures("older")
def test_the_command_says_that_the_folder_is_damaged(
    realm: SimulatedRealm, folder: Path, expires: int
) -> None:
    """Exit status 3 and a line on standard error; JSON has the warning."""
    flip("metadata/province-31-live.json")(folder)
    code = realm.code("31", 7, issued_at=realm.now - 60, expires_at=expires)
    at = rfc3339(realm.now)
    done = CliRunner().invoke(cli, ["verify", "--trust", str(folder), "--at", at, "--json", code])
    assert done.exit_code == 3
    assert "generation 2 does not verify" in done.stderr
    assert "TRUST_DAMAGED" in json.loads(done.stdout)["warnings"]


def verdict_on(folder: Path, code: str, now: int) -> Verdict:
    return Verifier(TrustStore.open(folder)).verify(code, now=now)


@pytest.fixture
def closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.usefixtures("closed_umask")
def test_a_refresh_under_a_closed_umask_leaves_the_newest_trust_readable(
    realm: SimulatedRealm, client: TrustClient, folder: Path
) -> None:
    """Whoever may read the trust folder reads what root's `sync` wrote into it: no older generation serves him."""
    folder.chmod(0o755)
    publish_often(realm, client, 2)
    realm.now += 60
    realm.sign_timestamp()
    client.refresh(realm.now)
    for path in (folder / "current").resolve().rglob("*"):
        assert path.stat().st_mode & 0o444 == 0o444, path
    folder.chmod(0o700)
    publish_often(realm, client, 1)
    assert (folder / "current" / "manifest.json").stat().st_mode & 0o077 == 0


def publish_often(realm: SimulatedRealm, client: TrustClient, times: int) -> None:
    for _ in range(times):
        realm.now += 60
        realm.publish_live("31")
        realm.publish()
        client.refresh(realm.now)


def numbers(folder: Path) -> set[int]:
    return {int(each.name) for each in (folder / "generations").iterdir()}


def test_a_generation_that_is_being_read_is_not_reused(
    realm: SimulatedRealm, client: TrustClient, folder: Path
) -> None:
    """A slow reader beside a busy follower reads its generation to the end; then the folder is reused."""
    with reading(folder, 1):
        publish_often(realm, client, 8)
        assert 1 in numbers(folder)
        read_generation(folder, 1, read_bootstrap(folder).root)
    publish_often(realm, client, 2)
    assert 1 not in numbers(folder)
    assert len(numbers(folder)) == KEPT + 1


def test_readers_that_never_end_do_not_fill_the_disk(
    realm: SimulatedRealm, client: TrustClient, folder: Path
) -> None:
    """Whoever holds every generation stops no refresh, and keeps a bounded number of them."""
    with ExitStack() as stack:
        for _ in range(25):
            stack.enter_context(reading(folder, max(numbers(folder))))
            publish_often(realm, client, 1)
            assert len(numbers(folder)) <= 18


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK])
def test_without_hard_links_every_refresh_works(
    realm: SimulatedRealm, client: TrustClient, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """On a file system without links, or with no more of a file, unchanged files are copied."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    publish_often(realm, client, 6)
    store = TrustStore.open(folder)
    assert (store.generation, store.warnings) == (7, ())


@pytest.mark.parametrize("folder_of", [1, 2, 3])
def test_silent_damage_does_not_go_from_one_generation_into_the_next(
    realm: SimulatedRealm, client: TrustClient, folder: Path, folder_of: int
) -> None:
    """A byte that a bad disk flipped, times kept, stays in the generation it is in, and is gone with it."""
    for _ in range(3):
        realm.now += 60
        realm.publish_live("31")
        realm.publish()
        client.refresh(realm.now)
    path = folder / "generations" / str(folder_of) / "metadata" / "province-11.json"
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for _ in range(5):
        realm.now += 60
        realm.publish_live("31")
        realm.publish()
        fresh = TrustClient(folder, realm)
        newest = fresh.refresh(realm.now)
        store = TrustStore.open(folder)
        assert (store.generation, store.warnings) == (newest.generation, ())


def test_two_processes_on_one_folder_keep_the_newer_timestamp(
    realm: SimulatedRealm, client: TrustClient, folder: Path
) -> None:
    """A timestamp that another process took in meanwhile is not replaced by an older one."""
    realm.now += 60
    realm.sign_timestamp()
    between = realm.fork()
    realm.now += 60
    realm.sign_timestamp()
    service = TrustClient(folder, between)
    service.open()
    newest = client.refresh(realm.now).view.timestamp_version
    with pytest.raises(TrustError) as caught:
        service.refresh(realm.now)
    assert caught.value.reason is Reason.TRUST_ROLLBACK
    assert TrustStore.open(folder).view.timestamp_version == newest


def test_a_folder_that_another_process_holds_is_waited_for_in_bounds(
    realm: SimulatedRealm, client: TrustClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs with the lock is told by an error, not by waiting for ever."""
    monkeypatch.setattr(client_module, "_LOCK_SECONDS", 0.1)
    handle = os.open(folder / "lock", os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="fuser"):
            client.refresh(realm.now)
    finally:
        os.close(handle)
    client.refresh(realm.now)


def test_a_fault_at_one_source_does_not_stop_the_others(
    realm: SimulatedRealm, folder: Path, client: TrustClient
) -> None:
    """An exception of another kind than ours, whatever caused it, counts against the source that served it."""

    class Bad(SimulatedRealm):
        def fetch(self, path: str, max_bytes: int) -> bytes:
            raise ValueError(path)

    both = TrustClient(folder, [Bad(), realm])
    realm.now += 60
    realm.sign_timestamp()
    result = both.refresh(realm.now)
    assert result.changed
    assert [note.reason for note in both.passed_over] == [Reason.INTERNAL]
