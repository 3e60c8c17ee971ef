"""The TUF client workflow (specification 1.0, section 5), through our own client, over HTTP.

The public conformance suite drives tests/conformance/tuf_client.py by its command line; it
is not on the package index, so these are its main cases, by a repository of our own.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from tests.conformance import tuf_client
from tests.simulator.mirror import Mirror, endless, run_mirror
from tests.simulator.tuf_repository import TufRepository

CLIENT = Path(tuf_client.__file__)
FIRST = [
    "metadata/2.root.json",
    "metadata/timestamp.json",
    "metadata/1.snapshot.json",
    "metadata/1.targets.json",
]


class Client:
    """The executable's commands on one metadata folder; by its functions, since a process each would take long."""

    def __init__(self, folder: Path, mirror: Mirror) -> None:
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.metadata.mkdir()
        self.targets.mkdir()
        self.root = folder / "initial_root.json"
        self.mirror = mirror

    def words(self, *command: str) -> list[str]:
        return [
            "--metadata-dir",
            str(self.metadata),
            "--metadata-url",
            f"{self.mirror.url}/metadata",
            *command,
        ]

    def init(self, root: bytes | None = None) -> int:
        self.root.write_bytes(self.mirror.files["metadata/1.root.json"] if root is None else root)
        return tuf_client.main(["--metadata-dir", str(self.metadata), "init", str(self.root)])

    def refresh(self) -> int:
        return tuf_client.main(self.words("refresh"))

    def download_words(self, target: str) -> list[str]:
        places = ("--target-base-url", f"{self.mirror.url}/targets/", "--target-dir", str(self.targets))
        return self.words("--target-name", target, *places, "download")

    def download(self, target: str) -> int:
        return tuf_client.main(self.download_words(target))

    def versions(self) -> dict[str, int]:
        return {
            path.name.removesuffix(".json"): Metadata[Any].from_bytes(path.read_bytes()).signed.version
            for path in self.metadata.glob("*.json")
        }

    def downloaded(self) -> list[bytes]:
        return [path.read_bytes() for path in self.targets.rglob("*") if path.is_file()]


@pytest.fixture
def repository() -> TufRepository:
    return TufRepository()


@pytest.fixture
def client(repository: TufRepository, tmp_path: Path) -> Iterator[Client]:
    with run_mirror(repository.files) as mirror:
        client = Client(tmp_path, mirror)
        assert client.init() == 0
        yield client


def at(**versions: int) -> dict[str, int]:
    return {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1, **versions}


def test_the_executable_speaks_the_suites_command_line(repository: TufRepository, client: Client) -> None:
    """As a process, by its path: 0 or 1, the files of the specification asked for once and in order."""
    repository.add_target("targets", "a/file.txt", b"content")
    assert subprocess.run([CLIENT, *client.words("refresh")], check=False).returncode == 0
    assert client.mirror.asked == FIRST
    for role, file in (("timestamp", "timestamp"), ("snapshot", "1.snapshot"), ("targets", "1.targets")):
        assert (client.metadata / f"{role}.json").read_bytes() == repository.files[f"metadata/{file}.json"]
    assert client.versions() == at()
    done = subprocess.run([CLIENT, *client.download_words("a/file.txt")], check=False, capture_output=True)
    assert done.returncode == 1
    assert b"no role signs" in done.stderr
    repository.publish_all(root=False)
    assert subprocess.run([CLIENT, *client.download_words("a/file.txt")], check=False).returncode == 0
    assert client.downloaded() == [b"content"]


def test_a_download_refreshes_first(client: Client) -> None:
    """Also where it fails in the end."""
    assert client.download("nothing") == 1
    assert client.mirror.asked == FIRST
    assert client.versions() == at()


@pytest.mark.parametrize("change", ["no version", "signature", "rubbish"])
def test_a_root_that_does_not_hold_is_never_used(
    repository: TufRepository, client: Client, change: str
) -> None:
    """Nothing is asked of the repository."""
    root = json.loads(repository.files["metadata/1.root.json"])
    if change == "no version":
        del root["signed"]["version"]
    else:
        root["signatures"][0]["sig"] = "00" * 64
    client.init(b"{" if change == "rubbish" else json.dumps(root).encode())
    assert client.refresh() == 1
    assert client.mirror.asked == []


def test_roots_are_followed_one_by_one(repository: TufRepository, client: Client) -> None:
    """Through rotations of every role, also of root's own keys; one that skips its predecessor's consent is refused."""
    for role in ("timestamp", "snapshot", "targets", "root"):
        repository.rotate(role)
        repository.publish_all()
        repository.signers["root"] = repository.signers["root"][:1]
    assert client.refresh() == 0
    assert client.versions() == at(root=5, timestamp=5, snapshot=5, targets=5)
    repository.rotate("root")
    repository.signers["root"] = repository.signers["root"][:1]  # the old key does not sign
    repository.publish("root")
    assert client.refresh() == 1
    assert client.versions()["root"] == 5


def test_a_root_two_years_of_rotations_on(repository: TufRepository, client: Client) -> None:
    """A client that was off catches up through every root in between."""
    for _ in range(40):
        repository.rotate("root")
        repository.publish("root")
        repository.signers["root"] = repository.signers["root"][:1]
    assert client.refresh() == 0
    assert client.versions()["root"] == 41


def test_a_root_of_the_wrong_version_is_refused(repository: TufRepository, client: Client) -> None:
    """It must be exactly the next."""
    repository.root.version = 3
    repository.publish("root", bump=False)
    repository.files["metadata/2.root.json"] = repository.files["metadata/3.root.json"]
    assert client.refresh() == 1
    assert client.versions() == {"root": 1}


def test_an_expired_root_is_kept_and_stops_the_rest(repository: TufRepository, client: Client) -> None:
    """5.3.10: freeze is looked for after the newest root was taken."""
    assert client.refresh() == 0
    repository.root.expires = repository.now - timedelta(days=1)
    repository.publish_all()
    assert client.refresh() == 1
    assert client.versions() == at(root=2)


@pytest.mark.parametrize(
    ("role", "kept"),
    [("timestamp", at()), ("snapshot", at(timestamp=2)), ("targets", at(timestamp=2, snapshot=2))],
)
def test_what_has_expired_is_not_taken(
    repository: TufRepository, client: Client, role: str, kept: dict[str, int]
) -> None:
    """Each role by itself."""
    assert client.refresh() == 0
    getattr(repository, role).expires = repository.now - timedelta(days=5)
    repository.publish_all(root=False)
    assert client.refresh() == 1
    assert client.versions() == kept


def test_an_older_timestamp_is_refused(repository: TufRepository, client: Client) -> None:
    """5.4.3.1, and the same version with another content changes nothing."""
    old = repository.files["metadata/timestamp.json"]
    repository.publish_timestamp()
    assert client.refresh() == 0
    repository.timestamp.unrecognized_fields["another"] = "content"
    repository.publish("timestamp", bump=False)
    assert client.refresh() == 0
    assert b"another" not in (client.metadata / "timestamp.json").read_bytes()
    repository.files["metadata/timestamp.json"] = old
    assert client.refresh() == 1
    assert client.versions() == at(timestamp=2)


@pytest.mark.parametrize("hashes", [False, True])
def test_an_older_snapshot_is_refused(repository: TufRepository, client: Client, hashes: bool) -> None:
    """5.4.3.2, with and without hashes in timestamp."""
    repository.hashes = hashes
    repository.publish_snapshot()
    assert client.refresh() == 0
    repository.snapshot.version = 1
    repository.publish_timestamp()
    assert client.refresh() == 1
    assert client.versions() == at(timestamp=2, snapshot=2)


def test_a_snapshot_that_takes_targets_back_is_refused(repository: TufRepository, client: Client) -> None:
    """5.5.5, and one that forgets a role."""
    repository.publish("targets")
    repository.publish_snapshot()
    assert client.refresh() == 0
    repository.targets.version = 1
    repository.publish_snapshot()
    assert client.refresh() == 1
    assert client.versions()["targets"] == 2
    del repository.snapshot.meta["targets.json"]
    repository.publish("snapshot")
    repository.publish_timestamp()
    assert client.refresh() == 1


def test_what_timestamp_did_not_name_is_refused(repository: TufRepository, client: Client) -> None:
    """Mix and match: a snapshot of another hash, targets of another version."""
    repository.hashes = True
    repository.publish_snapshot()
    repository.files["metadata/2.snapshot.json"] += b" "
    assert client.refresh() == 1
    assert client.versions() == {"root": 1, "timestamp": 2}
    repository.publish_snapshot()
    repository.files["metadata/1.targets.json"] = Metadata(repository.targets).to_bytes()
    assert client.refresh() == 1


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_fast_forward_heals_with_new_keys(repository: TufRepository, client: Client, role: str) -> None:
    """5.3.11: root replaces the keys, and versions begin anew."""
    getattr(repository, role).version = 99_999
    repository.publish_all(root=False)
    assert client.refresh() == 0
    assert client.versions()[role] == 100_000
    for rotated in ("timestamp", "snapshot"):
        repository.rotate(rotated)
    getattr(repository, role).version = 1
    repository.publish_all()
    assert client.refresh() == 0
    assert client.versions()[role] == 2


def test_thresholds_count_keys_not_names(repository: TufRepository, client: Client) -> None:
    """Too few signatures are refused; the same key twice is one; enough are taken."""
    repository.root.roles["snapshot"].threshold = 3
    repository.add_key("snapshot")
    repository.publish_all()
    assert client.refresh() == 1
    repository.add_key("snapshot", repository.signers["snapshot"][0])
    repository.publish_all()
    assert client.refresh() == 1
    repository.add_key("snapshot")
    repository.publish_all()
    assert client.refresh() == 0


@pytest.mark.parametrize("make", ["generate_rsa", "generate_ecdsa"])
def test_other_kinds_of_keys(repository: TufRepository, client: Client, make: str) -> None:
    """Whoever publishes by TUF is understood, whatever keys they have."""
    repository.add_key("timestamp", getattr(CryptoSigner, make)())
    repository.root.roles["timestamp"].threshold = 2
    repository.publish_all()
    assert client.refresh() == 0


def test_fields_that_nobody_knows_are_signed_too(repository: TufRepository, client: Client) -> None:
    """They count for signatures, and are kept byte for byte."""
    repository.root.unrecognized_fields["custom"] = {"a": [1, "b"]}
    repository.publish_all()
    assert client.refresh() == 0
    assert client.versions()["root"] == 2
    assert (client.metadata / "root.json").read_bytes() == repository.files["metadata/2.root.json"]


def test_without_consistent_snapshots(tmp_path: Path) -> None:
    """Names without versions, targets without hashes."""
    repository = TufRepository(consistent_snapshot=False)
    repository.add_target("targets", "a/file", b"content")
    repository.publish_all(root=False)
    with run_mirror(repository.files) as mirror:
        client = Client(tmp_path, mirror)
        assert client.init() == 0
        assert client.download("a/file") == 0
        assert "metadata/snapshot.json" in mirror.asked
    assert client.downloaded() == [b"content"]


def test_delegations_are_searched_depth_first(repository: TufRepository, client: Client) -> None:
    """In the order of the delegator, only where paths match, past cycles, and no further than a terminating one."""
    for parent, role, paths, terminating in (
        ("targets", "A", ["a*"], False),
        ("targets", "B", ["*"], False),
        ("B", "C", ["*"], False),
        ("C", "B", ["*"], False),
        ("B", "D", ["*"], True),
        ("targets", "E", ["*"], False),
    ):
        repository.delegate(parent, role, paths, terminating=terminating)
    repository.add_target("D", "found", b"by D")
    repository.publish_all(root=False)
    assert client.download("found") == 0
    assert [path for path in client.mirror.asked if path.startswith("metadata/")][4:] == [
        "metadata/1.B.json",
        "metadata/1.C.json",
        "metadata/1.D.json",
    ]
    assert client.download("missing") == 1
    assert "metadata/1.E.json" not in client.mirror.asked
    assert client.downloaded() == [b"by D"]


@pytest.mark.parametrize("role", ["?", "#", "/delegatedrole", "../delegatedrole", "角色", "a b"])
def test_strange_role_names_stay_in_their_place(repository: TufRepository, client: Client, role: str) -> None:
    """In the address and on disk."""
    repository.delegate("targets", role, ["*"])
    repository.publish_all(root=False)
    assert client.download("nothing") == 1
    assert len(client.versions()) == 5
    assert sum("delegatedrole" in path.name for path in client.metadata.parent.glob("*")) == 0


def test_targets_are_what_was_signed(repository: TufRepository, client: Client) -> None:
    """A file that was replaced is refused, one we have is not asked for again, a newer one takes its place."""
    place = repository.add_target("targets", "file", b"content")
    other = repository.add_target("targets", "other", b"other")
    repository.publish_all(root=False)
    assert client.download("file") == 0
    repository.files[place] = repository.files[other] = b"malicious and longer than it should be"
    asked = len(client.mirror.asked)
    assert client.download("file") == 0
    assert not any(path.startswith("targets/") for path in client.mirror.asked[asked:])
    assert client.download("other") == 1
    repository.files[other] = b"OTHER"
    assert client.download("other") == 1
    assert client.downloaded() == [b"content"]
    repository.add_target("targets", "file", b"newer")
    repository.publish_all(root=False)
    assert client.download("file") == 0
    assert client.downloaded() == [b"newer"]


def test_endless_data_have_an_end(client: Client) -> None:
    """Of any role."""
    for role in ("root", "timestamp", "snapshot", "targets"):
        client.mirror.behave = lambda path, role=role: endless if role in path else None  # type: ignore[misc]  # bound now
        assert client.refresh() == 1
