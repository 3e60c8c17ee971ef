"""TUF metadata of ours: made in one form, read from hostile bytes, counted by distinct keys."""

import json

import pytest
from securesystemslib.signer import SSlibKey

from healthcode.audit.checkpoint import Checkpoint
from healthcode.errors import DecodeError, Reason, SignatureError
from healthcode.trust.format.metadata import (
    Root,
    Snapshot,
    Targets,
    Timestamp,
    decode_metadata,
    sign_metadata,
    signing_keys,
    to_bytes,
    verify_threshold,
)
from healthcode.trust.format.metadata_fields import audit_checkpoint_in, signed_at
from healthcode.trust.format.new_metadata import new_live_metadata, new_root, new_targets
from healthcode.trust.format.next_metadata import with_province
from healthcode.trust.format.tuf_keys import tuf_key
from tests.simulator.realm import NOW, SimulatedRealm, fixed_key

A, B, C = (fixed_key(name) for name in "abc")


def root(realm: str = "test-metadata", threshold: int = 2) -> Root:
    keys = [A.public, B.public]
    return new_root(
        realm,
        root_keys=keys,
        root_threshold=threshold,
        operator_keys=keys,
        operator_threshold=threshold,
        snapshot_keys=[C.public],
        timestamp_keys=[C.public],
        now=NOW,
    ).signed


def test_a_threshold_names_who_is_missing() -> None:
    """The error says which key did not sign."""
    targets = new_targets(version=1, files={}, area_keys=[C.public], now=NOW)
    sign_metadata(targets, A)
    with pytest.raises(SignatureError) as caught:
        verify_threshold(root(), "targets", targets)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD
    assert tuf_key(B.public).keyid[:16] in caught.value.message
    assert tuf_key(A.public).keyid[:16] not in caught.value.message
    sign_metadata(targets, B)
    verify_threshold(root(), "targets", targets)


def test_signatures_survive_writing_and_reading_with_our_own_fields() -> None:
    """The signed time is signed."""
    live = new_live_metadata("31", version=3, head=b"head", now=NOW)
    sign_metadata(live, A)
    again = decode_metadata(to_bytes(live), Targets)
    assert signed_at(again.signed) == NOW
    raw = json.loads(to_bytes(live))
    raw["signed"]["healthcode.signed_at"] = "2027-01-01T00:00:00Z"
    forged = decode_metadata(json.dumps(raw).encode(), Targets)
    delegating = with_province(
        new_targets(version=1, files={}, area_keys=[C.public], now=NOW), "31", [A.public], 1
    )
    verify_threshold(delegating.signed, "province-31", again)
    with pytest.raises(SignatureError):
        verify_threshold(delegating.signed, "province-31", forged)


def test_live_metadata_carries_the_checkpoint_of_the_audit_log() -> None:
    """It is a signed field: absent where there is none, and refused in any other shape."""
    checkpoint = Checkpoint(b"L" * 16, 512, b"R" * 32)
    live = new_live_metadata("31", version=3, head=b"head", now=NOW, checkpoint=checkpoint)
    again = decode_metadata(to_bytes(live), Targets).signed
    assert audit_checkpoint_in(again) == checkpoint
    assert again.unrecognized_fields["healthcode.audit"] == ["4c" * 16, 512, "52" * 32]
    assert signed_at(again) == NOW
    plain = new_live_metadata("31", version=3, head=b"head", now=NOW).signed
    assert audit_checkpoint_in(plain) is None
    assert "healthcode.audit" not in plain.unrecognized_fields
    for wrong in ({}, [], "x", ["4c" * 16, 512], ["4C" * 16, 512, "52" * 32], ["4c" * 16, 500, "52" * 32]):
        again.unrecognized_fields["healthcode.audit"] = wrong
        with pytest.raises(DecodeError):
            audit_checkpoint_in(again)


def test_one_key_under_two_ids_counts_once() -> None:
    """A delegator that names a key twice, under a made-up id, does not lower its threshold."""
    targets = new_targets(version=1, files={}, area_keys=[C.public], now=NOW)
    delegator = root()
    alias = SSlibKey("00" * 32, "ed25519", "ed25519", {"public": A.public.hex()})
    delegator.keys[alias.keyid] = alias
    delegator.roles["targets"].keyids = [tuf_key(A.public).keyid, alias.keyid]
    sign_metadata(targets, A)
    first = next(iter(targets.signatures.values()))
    targets.signatures[alias.keyid] = type(first)(alias.keyid, first.signature)
    with pytest.raises(SignatureError, match="1 of the 2"):
        verify_threshold(delegator, "targets", targets)
    with pytest.raises(DecodeError):
        signing_keys(delegator, "targets")


@pytest.mark.parametrize("kind", [Root, Snapshot, Targets, Timestamp])
def test_metadata_of_another_type_is_refused(kind: type) -> None:
    """The type in the file must be the type that was asked for."""
    realm = SimulatedRealm(("31",))
    files = {
        Root: "metadata/1.root.json",
        Snapshot: "metadata/1.snapshot.json",
        Targets: "metadata/1.targets.json",
        Timestamp: "metadata/timestamp.json",
    }
    for other, path in files.items():
        if other is kind:
            assert decode_metadata(realm.files[path], kind).signed.version == 1
            continue
        with pytest.raises(DecodeError) as caught:
            decode_metadata(realm.files[path], kind)
        assert caught.value.detail == "metadata.type"


@pytest.mark.parametrize(
    "harm",
    [
        {"version": "1"},
        {"version": 0},
        {"version": 1.5},
        {"version": True},
        {"version": None},
        {"version": 2**53},
        {"expires": "soon"},
        {"spec_version": "9.0"},
        {"targets": 7},
        {"targets": {"a": {"length": -1, "hashes": {}}}},
        {"delegations": []},
        {"delegations": {"keys": {}, "roles": [{}]}},
        {"_type": "hologram"},
    ],
)
def test_broken_metadata_is_a_decode_error(harm: dict[str, object]) -> None:
    """Whatever python-tuf makes of it, only our own error leaves."""
    raw = json.loads(to_bytes(new_live_metadata("31", version=1, head=b"", now=NOW)))
    raw["signed"].update(harm)
    with pytest.raises(DecodeError):
        decode_metadata(json.dumps(raw).encode(), Targets)


@pytest.mark.parametrize("version", ["9007199254740992", "true", "1.0", "1e3", "null", "0"])
@pytest.mark.parametrize(
    ("kind", "path", "named"),
    [
        (Timestamp, "metadata/timestamp.json", "snapshot.json"),
        (Snapshot, "metadata/1.snapshot.json", "targets.json"),
    ],
)
def test_a_version_that_metadata_names_has_the_same_limit(
    kind: type, path: str, named: str, version: str
) -> None:
    """A whole number from 1 to 2^53 - 1, in `meta` as in the metadata itself."""
    raw = json.loads(SimulatedRealm(("31",)).files[path])
    raw["signed"]["meta"][named]["version"] = 2**53 - 1
    decode_metadata(json.dumps(raw).encode(), kind)
    raw["signed"]["meta"][named]["version"] = json.loads(version)
    with pytest.raises(DecodeError) as caught:
        decode_metadata(json.dumps(raw).encode(), kind)
    assert caught.value.detail == "metadata.format"
