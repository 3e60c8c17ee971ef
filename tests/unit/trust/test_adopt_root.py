"""Root below its threshold: a root that nobody signed over is refused until a person adopts it, and nothing goes back."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from healthcode.errors import (
    ConfigurationError,
    HealthcodeError,
    PreconditionError,
    Reason,
    RefusedTrustError,
    TrustError,
)
from healthcode.revocation.state import RevocationStatus
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.adopt_root import adopt_root
from healthcode.trust.client import TrustClient
from healthcode.trust.disk.bootstrap import read_bootstrap
from healthcode.trust.disk.read import current_generation
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.metadata_fields import bootstraps_in
from healthcode.trust.format.next_metadata import with_bootstrap, with_root
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.verify.roots import bootstrap_fingerprints, root_fingerprint, verify_roots
from healthcode.trust.view import TrustView
from tests.simulator.fork_server import run_forked
from tests.simulator.realm import SimulatedRealm


def begin_anew(
    realm: SimulatedRealm, *, version: int | None = None, timestamp_key: PrivateKey | None = None
) -> str:
    """A next root of other keys that no old one signed; its fingerprint."""
    before = realm.files[metadata_file("root", realm.root.signed.version)]
    realm.root_keys = [realm.key(f"root anew-{realm.root.signed.version}-{number}") for number in (1, 2, 3)]
    realm.timestamp_key = timestamp_key or realm.timestamp_key
    changes = {
        "root": ([key.public for key in realm.root_keys], 2),
        "timestamp": ([realm.timestamp_key.public], 1),
    }
    root = with_root(realm.root.signed, changes, now=realm.now)
    root.signed.version = version or root.signed.version
    root = with_bootstrap(root, root_fingerprint(before))
    for key in realm.root_keys[:2]:
        sign_metadata(root, key)
    realm.root = root
    data = realm.files[metadata_file("root", root.signed.version)] = to_bytes(root)
    realm.now += 1
    realm.publish()
    return root_fingerprint(data)


def everything(folder: Path) -> dict[str, bytes]:
    """Each file of a folder but python-tuf's cache and what is only a lock or a note of the clock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and "cache" not in path.relative_to(folder).parts
        and path.name not in {"lock", "clock.json"}
    }


def is_revoked(view: TrustView, index: int, expires: int) -> bool:
    state = view.issuers["31"].revocations
    assert state is not None
    return state.status(index, expires) is RevocationStatus.REVOKED


def test_a_client_refuses_it_by_its_own_reason_and_serves_on(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The message says attack or new bootstrap, names the command, and keeps the fingerprint to itself."""
    before = everything(folder)
    fingerprint = begin_anew(realm)
    with pytest.raises(TrustError, match="an attack") as refused:
        client.refresh(realm.now)
    assert refused.value.reason is Reason.ROOT_REPLACED
    assert "healthcode trust rebootstrap" in refused.value.message
    assert fingerprint.removeprefix("sha256:") not in refused.value.message
    assert everything(folder) == before
    assert TrustStore.open(folder).warnings == ()


def test_a_root_that_claims_nothing_is_an_attack_and_no_bootstrap(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Without the mark, or with the mark of another root, it stays SIGNATURE_THRESHOLD."""
    begin_anew(realm)
    path = metadata_file("root", 2)
    other = with_bootstrap(realm.root, "sha256:" + "0" * 64)
    for key in realm.root_keys[:2]:
        sign_metadata(other, key)
    realm.tampered[path] = to_bytes(other)
    with pytest.raises(TrustError) as refused:
        client.refresh(realm.now)
    assert refused.value.reason is Reason.SIGNATURE_THRESHOLD


def test_a_person_adopts_it_and_all_goes_on(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """What was revoked is revoked, versions go on, later roots follow by themselves, and the folder opens offline."""
    expires = realm.now + 3600
    realm.revoke("31", 7, expires)
    realm.publish_live("31")
    realm.publish()
    before = client.refresh(realm.now).view
    fingerprint = begin_anew(realm)
    done = adopt_root(folder, realm, fingerprint, realm.now)
    assert (done.version, done.before, done.is_repeat) == (2, 1, False)
    after = done.refresh.view
    assert after.root_version == 2
    assert after.snapshot_version > before.snapshot_version
    assert is_revoked(after, 7, expires)
    # the client that runs beside it hears of it by itself
    realm.revoke("31", 8, expires)
    realm.publish_live("31")
    realm.publish()
    assert is_revoked(client.refresh(realm.now).view, 8, expires)
    realm.rotate_root(root_keys=[realm.key(f"root later-{number}") for number in (1, 2, 3)])
    realm.publish()
    assert client.refresh(realm.now).view.root_version == 3
    realm.offline = True
    store = TrustStore.open(folder)
    assert (store.view.root_version, store.warnings) == (3, ())
    assert is_revoked(store.view, 7, expires)
    (adopted,) = read_bootstrap(folder).adopted
    assert (adopted.fingerprint, adopted.version, adopted.at) == (fingerprint, 2, realm.now)
    assert list(bootstraps_in(realm.root.signed)) == []  # the simulator's next root is made without with_root


def test_doing_it_again_changes_nothing(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """A second run, and a later init with any root that was ever named here."""
    fingerprint = begin_anew(realm)
    adopt_root(folder, realm, fingerprint, realm.now)
    before = everything(folder)
    assert adopt_root(folder, realm, fingerprint, realm.now).is_repeat
    assert everything(folder) == before
    for known in (realm.fingerprint, fingerprint):
        assert init_trust(folder, realm, known).fingerprint == realm.fingerprint


def test_it_may_happen_twice(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """A client that slept through the first adopts the second alone; one that saw both holds both."""
    first = begin_anew(realm)
    sleeper = folder.with_name("sleeper")
    init_trust(sleeper, realm, realm.fingerprint)
    adopt_root(folder, realm, first, realm.now)
    second = begin_anew(realm)
    for each in (folder, sleeper):
        assert adopt_root(each, realm, second, realm.now).refresh.view.root_version == 3
        assert TrustStore.open(each).warnings == ()
    assert [each.version for each in read_bootstrap(folder).adopted] == [2, 3]
    assert sorted(bootstraps_in(realm.root.signed)) == ["2", "3"]


def test_a_row_of_roots_says_where_it_began_anew(realm: SimulatedRealm) -> None:
    """Checked offline it does not hold, by the same reason; with the word of the newest root it does, and nothing more."""
    fingerprint = begin_anew(realm)
    row = [realm.files[metadata_file("root", version)] for version in (1, 2)]
    with pytest.raises(TrustError) as refused:
        verify_roots(row)
    assert refused.value.reason is Reason.ROOT_REPLACED
    assert bootstrap_fingerprints(row, row[1]) == {fingerprint}
    assert bootstrap_fingerprints(row, row[0]) == frozenset()
    assert [root.version for root in verify_roots(row, adopted=bootstrap_fingerprints(row, row[1]))] == [1, 2]


def test_a_new_client_begins_with_the_new_root(realm: SimulatedRealm, tmp_path: Path) -> None:
    """By the new fingerprint it needs nothing else; by the old one it is told what is the matter."""
    fingerprint = begin_anew(realm)
    init_trust(tmp_path / "new", realm, fingerprint)
    assert TrustClient(tmp_path / "new", realm).refresh(realm.now).view.root_version == 2
    init_trust(tmp_path / "old", realm, realm.fingerprint)
    with pytest.raises(TrustError) as refused:
        TrustClient(tmp_path / "old", realm).refresh(realm.now)
    assert refused.value.reason is Reason.ROOT_REPLACED


def test_the_online_keys_may_change_with_it_and_still_nothing_goes_back(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """With another timestamp key versions would begin anew in an ordinary rotation; not here."""
    realm.now += 1
    realm.publish()
    client.refresh(realm.now)
    old = realm.fork()
    fingerprint = begin_anew(realm, timestamp_key=realm.key("timestamp anew"))
    behind = old.fork()
    behind.files |= {metadata_file("root", 2): realm.files[metadata_file("root", 2)]}
    behind.timestamp_key, behind.timestamp_version = realm.timestamp_key, 0
    behind.sign_timestamp()
    before = everything(folder)
    with pytest.raises(TrustError) as refused:
        adopt_root(folder, behind, fingerprint, realm.now)
    assert refused.value.reason is Reason.TRUST_ROLLBACK
    assert everything(folder) == before
    assert adopt_root(folder, realm, fingerprint, realm.now).refresh.view.root_version == 2


def test_a_list_that_shrank_is_refused_under_the_new_root_too(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Whoever holds the new root cannot take back what a province revoked."""
    expires = realm.now + 3600
    realm.revoke("31", 7, expires)
    realm.publish_live("31")
    realm.publish()
    client.refresh(realm.now)
    (day,) = realm.provinces["31"].revoked
    realm.set_list("31", day, [9])
    realm.publish_live("31")
    fingerprint = begin_anew(realm)
    done = adopt_root(folder, realm, fingerprint, realm.now)
    assert [(each.participant, each.reason) for each in done.refresh.rejected] == [("31", Reason.LIST_SHRANK)]
    assert is_revoked(done.refresh.view, 7, expires)


def test_an_authority_that_does_not_follow_is_refused_under_the_new_root_too(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """A chain that begins anew with the root is not taken: the province's last good files serve."""
    held = client.open().view.issuers["31"].province_sha256
    province = realm.provinces["31"]
    other = realm.fork().new_province("31")
    province.authority = [realm.key(f"31 stolen-{number}") for number in (1, 2, 3)]
    realm.key("31 stolen-1")
    province.chain = (
        other.chain[0].model_copy(update={"keys": tuple(k.public for k in province.authority)}),
    )
    realm.publish_targets()
    realm.publish_province("31")
    fingerprint = begin_anew(realm)
    done = adopt_root(folder, realm, fingerprint, realm.now)
    assert [each.participant for each in done.refresh.rejected] == ["31"]
    assert done.refresh.view.issuers["31"].province_sha256 == held
    assert TrustStore.open(folder).warnings == ()


def test_a_chain_that_was_accepted_under_old_operators_still_opens(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The witness of an older chain was signed under an old root, which the folder keeps."""
    realm.provinces["31"].chain = realm.fork().new_province("31").chain
    realm.hand_over("31", "never")
    realm.provinces["31"].chain = realm.provinces["31"].chain[1:]
    realm.operators = [realm.key(f"operator anew-{number}") for number in (1, 2, 3)]
    changes = {"targets": ([key.public for key in realm.operators], 2)}
    realm.root = with_root(realm.root.signed, changes, now=realm.now)
    realm.root.signed.version -= 1
    realm.publish_targets()
    fingerprint = begin_anew(realm)
    done = adopt_root(folder, realm, fingerprint, realm.now)
    assert [each.participant for each in done.refresh.rejected] == ["31"]
    store = TrustStore.open(folder)
    assert (store.view.root_version, store.warnings) == (2, ())
    assert set(store.state.files.witnesses) == {"31"}


@pytest.mark.parametrize(
    "harm", ["mistyped", "malformed", "realm", "older", "ordinary", "unsigned", "offline"]
)
def test_what_is_refused_changes_nothing(
    client: TrustClient, realm: SimulatedRealm, folder: Path, harm: str
) -> None:
    """By name: a wrong fingerprint, another realm's root, an older one, one that needs no adoption, a forgery."""
    errors: dict[str, tuple[type[HealthcodeError], Reason, str]] = {
        "mistyped": (RefusedTrustError, Reason.ROOT_UNKNOWN, "mistyped"),
        "malformed": (ConfigurationError, Reason.CONFIGURATION_INVALID, "64 hex digits"),
        "realm": (RefusedTrustError, Reason.REALM_MISMATCH, "is of realm test-other"),
        "older": (PreconditionError, Reason.VERSION_CONFLICT, "trust never goes back"),
        "ordinary": (PreconditionError, Reason.VERSION_CONFLICT, "needs no adoption"),
        "unsigned": (TrustError, Reason.SIGNATURE_THRESHOLD, "signatures"),
        "offline": (TrustError, Reason.TRUST_UNAVAILABLE, "out of reach"),
    }
    source, fingerprint = realm, "sha256:" + "0" * 64
    if harm == "malformed":
        fingerprint = "sha256:12"
    elif harm == "realm":
        source = SimulatedRealm(realm="test-other")
        fingerprint = begin_anew(source)
    elif harm == "older":
        realm.rotate_root(root_keys=[realm.key(f"root second-{number}") for number in (1, 2, 3)])
        realm.publish()
        client.refresh(realm.now)
        fingerprint = realm.fingerprint
    elif harm == "ordinary":
        realm.rotate_root(root_keys=[realm.key(f"root second-{number}") for number in (1, 2, 3)])
        fingerprint = root_fingerprint(realm.files[metadata_file("root", 2)])
    elif harm == "unsigned":
        begin_anew(realm)
        realm.root.signatures.clear()
        sign_metadata(realm.root, realm.root_keys[0])
        data = realm.files[metadata_file("root", 2)] = to_bytes(realm.root)
        fingerprint = root_fingerprint(data)
    elif harm == "offline":
        fingerprint = begin_anew(realm)
        realm.offline = True
    before = everything(folder)
    kind, reason, words = errors[harm]
    with pytest.raises(HealthcodeError, match=words) as refused:
        adopt_root(folder, source, fingerprint, realm.now)
    assert refused.value.reason is reason
    assert isinstance(refused.value, kind) or harm in {"unsigned", "offline"}
    assert everything(folder) == before
    realm.offline = False
    assert TrustStore.open(folder).warnings == ()


def test_an_adopted_root_that_is_damaged_is_named(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Nothing is believed of a folder whose beginning does not hold."""
    fingerprint = begin_anew(realm)
    adopt_root(folder, realm, fingerprint, realm.now)
    path = folder / "roots" / fingerprint.removeprefix("sha256:")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(TrustError, match="damaged"):
        TrustStore.open(folder)
    path.unlink()
    with pytest.raises(TrustError, match="damaged"):
        TrustStore.open(folder)
    document = json.loads((folder / "trust.json").read_text())
    assert document["adopted"][0]["root_fingerprint"] == fingerprint


_KILL = """
import os, signal, sys
from pathlib import Path
from healthcode.trust.adopt_root import adopt_root
from healthcode.trust.sources.trust_source import FolderSource

def checkpoint(step):
    if step == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)

adopt_root(Path(sys.argv[1]), FolderSource(Path(sys.argv[2])), sys.argv[3], int(sys.argv[5]), checkpoint=checkpoint)
"""


@pytest.mark.parametrize(
    "step",
    ["national.fetched", "verified", "root.adopted", "files.written", "generation.synced", "current.swapped"],
)
def test_a_kill_leaves_the_old_or_the_new(
    client: TrustClient, realm: SimulatedRealm, folder: Path, tmp_path: Path, step: str
) -> None:
    """After kill -9 at any step the folder opens whole; then the command, or once it was adopted any refresh, ends it."""
    fingerprint = begin_anew(realm)
    for name, data in realm.files.items():
        place = tmp_path / "mirror" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    killed = run_forked(_KILL, folder, tmp_path / "mirror", fingerprint, step, str(realm.now))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    store = TrustStore.open(folder)
    assert store.warnings == ()
    is_new = step == "current.swapped"
    assert (store.view.root_version, current_generation(folder)) == ((2, 2) if is_new else (1, 1))
    if step in {"national.fetched", "verified"}:
        assert read_bootstrap(folder).adopted == ()
        adopt_root(folder, realm, fingerprint, realm.now)
    assert client.refresh(realm.now).view.root_version == 2
    assert TrustStore.open(folder).view.root_version == 2
