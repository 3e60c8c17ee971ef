"""Keys: kinds, thresholds, and rotations of root and of the other roles (TUF 1.0, sections 4.2, 5.3)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from tests.conformance.suite import Client, at
from tests.simulator.tuf_repository import TufRepository

Version = tuple[str, int, str]
"""Keys that may sign, how many must, and who does: `("abc", 2, "ac")`."""

TAKEN: dict[str, list[Version]] = {
    "another key": [("a", 1, "a"), ("b", 1, "ba"), ("b", 1, "b")],
    "signatures that do not count": [("a", 1, "xay"), ("b", 1, "xbay"), ("b", 1, "xby")],
    "any three of five": [("abcde", 3, "ace"), ("abcde", 3, "aeb"), ("abcde", 3, "abd"), ("abcde", 3, "cde")],
    "one of five": [("abcde", 3, "ace"), ("abdef", 3, "aeb")],
    "one of five, both sign": [("abcde", 3, "ace"), ("abdef", 3, "acef"), ("abdef", 3, "aef")],
    "all five": [("abcde", 3, "ace"), ("fghij", 3, "acefgh"), ("fghij", 3, "fgh")],
    "one more must sign": [("abc", 1, "a"), ("abc", 2, "ab")],
    "one less must sign": [("abc", 2, "ab"), ("abc", 1, "ab"), ("abc", 1, "a")],
    "one more key, who must sign": [("a", 1, "a"), ("ab", 2, "ab")],
}
REFUSED: dict[str, list[Version]] = {
    "not by the old": [("a", 1, "a"), ("b", 1, "bxy")],
    "not by the new": [("a", 1, "a"), ("b", 1, "axy")],
    "two of the new three": [("abcde", 3, "ace"), ("abdef", 3, "ace")],
    "two of the old three": [("abcde", 3, "ace"), ("abdef", 3, "aef")],
    "the new threshold not reached": [("abc", 1, "a"), ("abc", 2, "b")],
    "the old threshold not reached": [("abc", 2, "ab"), ("abc", 1, "a")],
}
BELOW_ROOT: dict[str, tuple[Version, bool]] = {
    "another key": (("b", 1, "b"), True),
    "signatures that do not count": (("a", 1, "xay"), True),
    "not by the new": (("b", 1, "axy"), False),
    "one of three is no key": (("abdef", 3, "ace"), False),
    "one is missing": (("abdef", 3, "ae"), False),
    **{f"three of five: {by}": (("abcde", 3, by), True) for by in ("ace", "aeb", "abd", "bcd", "cde")},
}


@cache
def key(name: str) -> CryptoSigner:
    return CryptoSigner.generate_ed25519()


def set_keys(repository: TufRepository, role: str, version: Version) -> None:
    """From the next publication on, the keys of a role and who signs."""
    keys, threshold, by = version
    repository.root.roles[role].keyids.clear()
    for name in keys:
        repository.root.add_key(key(name).public_key, role)
    repository.root.roles[role].threshold = threshold
    repository.signers[role] = [key(name) for name in by]


def publish_roots(repository: TufRepository, client: Client, versions: list[Version]) -> None:
    """Roots from version 1 on; the client begins with the first."""
    set_keys(repository, "root", versions[0])
    repository.publish("root", bump=False)
    assert client.init() == 0
    for version in versions[1:]:
        set_keys(repository, "root", version)
        repository.publish("root")


@pytest.mark.parametrize("versions", TAKEN.values(), ids=TAKEN)
def test_root_is_followed(repository: TufRepository, client: Client, versions: list[Version]) -> None:
    """By enough keys of the one before and enough of its own; it is kept byte for byte."""
    publish_roots(repository, client, versions)
    assert client.refresh() == 0
    last = repository.files[f"metadata/{len(versions)}.root.json"]
    assert (client.metadata / "root.json").read_bytes() == last


@pytest.mark.parametrize("versions", REFUSED.values(), ids=REFUSED)
def test_root_is_refused(repository: TufRepository, client: Client, versions: list[Version]) -> None:
    """By too few of either; the one before stays."""
    publish_roots(repository, client, versions)
    assert client.refresh() == 1
    assert (client.metadata / "root.json").read_bytes() == repository.files["metadata/1.root.json"]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(("version", "holds"), BELOW_ROOT.values(), ids=BELOW_ROOT)
def test_another_role_is_rotated(
    repository: TufRepository, client: Client, role: str, version: Version, holds: bool
) -> None:
    """By root alone; enough of the new keys must sign."""
    set_keys(repository, role, version)
    repository.publish_all()
    assert client.refresh() == (0 if holds else 1)
    assert (client.versions().get(role) == 2) == holds


@pytest.mark.parametrize(
    "scheme", ["ed25519", "ecdsa-sha2-nistp256", "rsassa-pss-sha256", "rsa-pkcs1v15-sha256"]
)
def test_kinds_of_keys(repository: TufRepository, client: Client, scheme: str) -> None:
    """Root must be signed by a key of the kind; a signature of its form that does not hold is none."""
    signer = {
        "ed25519": CryptoSigner.generate_ed25519,
        "ecdsa-sha2-nistp256": CryptoSigner.generate_ecdsa,
    }.get(scheme, lambda: CryptoSigner.generate_rsa(scheme=scheme, size=2048))()
    repository.add_key("root", signer)
    repository.root.roles["root"].threshold = 2
    repository.publish("root")
    assert client.refresh() == 0
    assert client.versions()["root"] == 2
    other = signer.sign(b"something else").signature
    repository.publish("root")

    def replace(document: dict[str, Any]) -> None:
        document["signatures"][-1]["sig"] = other

    repository.edit("root", replace)
    assert client.refresh() == 1
    assert client.versions()["root"] == 2


def test_a_signature_that_does_not_hold_is_passed_over(repository: TufRepository, client: Client) -> None:
    """Where enough others hold, also an empty one."""
    repository.add_key("timestamp")
    repository.publish("root")
    for bad in ("00" * 64, ""):
        repository.publish("timestamp")

        def spoil(document: dict[str, Any], bad: str = bad) -> None:
            document["signatures"][0]["sig"] = bad

        repository.edit("timestamp", spoil)
        assert client.refresh() == 0


def test_a_key_id_stands_once_among_signatures(repository: TufRepository, client: Client) -> None:
    """4.2.1: not twice, though the threshold is reached."""

    def twice(document: dict[str, Any]) -> None:
        document["signatures"] += document["signatures"]

    repository.edit("snapshot", twice)
    assert client.refresh() == 1
    assert "snapshot" not in client.versions()


def test_one_key_named_often_counts_once(repository: TufRepository, client: Client) -> None:
    """In root's list of key ids, however often it signs."""
    root = repository.root
    root.roles["snapshot"].threshold = 2
    root.roles["snapshot"].keyids *= 9
    repository.publish_all()

    def signed_again(document: dict[str, Any]) -> None:
        document["signatures"] *= 9

    repository.edit("snapshot", signed_again)
    assert client.refresh() == 1
    assert "snapshot" not in client.versions()


def test_fewer_keys_than_must_sign(repository: TufRepository, client: Client) -> None:
    """No signature can make up for them."""
    for _ in range(4):
        repository.add_key("snapshot")
    repository.root.roles["snapshot"].threshold = 6
    repository.publish_all()
    assert client.refresh() == 1
    assert client.versions() == {"root": 2, "timestamp": 2}


def test_what_a_key_says_of_its_id_is_not_believed(repository: TufRepository, client: Client) -> None:
    """`keyid_hash_algorithms` is no part of the specification; a key id need be no hash."""
    signer = CryptoSigner.generate_ed25519()
    signer.public_key.unrecognized_fields["keyid_hash_algorithms"] = ["md5"]
    signer.public_key.keyid = "a-name-and-no-hash"
    repository.root.revoke_key(repository.signers["snapshot"][0].public_key.keyid, "snapshot")
    repository.signers["snapshot"].clear()
    repository.add_key("snapshot", signer)
    repository.publish_all()
    assert client.refresh() == 0
    assert client.versions() == at(root=2, timestamp=2, snapshot=2, targets=2)


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
