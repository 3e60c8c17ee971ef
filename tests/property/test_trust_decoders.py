"""Only our own errors leave the decoders of trust files, whatever they are given."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from healthcode.errors import DecodeError, Reason, SignatureError, TrustError
from healthcode.trust.disk.read import read_generation
from healthcode.trust.format.json_files import (
    ParticipantsFile,
    ProvinceFile,
    decode_json_file,
    encode_json_file,
)
from healthcode.trust.format.metadata import (
    Root,
    Snapshot,
    Targets,
    Timestamp,
    decode_metadata,
    sign_metadata,
    to_bytes,
    verify_threshold,
)
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.join_request import decode_join_request
from tests.simulator.realm import SimulatedRealm

REALM = SimulatedRealm(("31",))
METADATA = [
    (REALM.files["metadata/1.root.json"], Root),
    (REALM.files["metadata/timestamp.json"], Timestamp),
    (REALM.files["metadata/1.snapshot.json"], Snapshot),
    (REALM.files["metadata/1.targets.json"], Targets),
    (REALM.files["metadata/1.province-31.json"], Targets),
]
DOCUMENTS = [
    (encode_json_file(REALM.participants_document()), ParticipantsFile),
    (encode_json_file(REALM.provinces["31"].document), ProvinceFile),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path inside a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        items = ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@st.composite
def harmed(draw: st.DrawFn, originals: list[tuple[bytes, type]]) -> tuple[bytes, type]:
    """A real file with a bit flipped, cut short, or with any value in the place of one of its own."""
    data, kind = draw(st.sampled_from(originals))
    how = draw(st.sampled_from(("flip", "cut", "value")))
    if how == "flip":
        at = draw(st.integers(0, len(data) - 1))
        return data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :], kind
    if how == "cut":
        return data[: draw(st.integers(0, len(data)))], kind
    value = json.loads(data)
    path = draw(st.sampled_from(places(value)))
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = draw(JSON)
    return json.dumps(value).encode(), kind


@settings(max_examples=150)
@given(harmed(METADATA) | st.tuples(st.binary(max_size=200), st.sampled_from([Root, Targets])))
def test_metadata(case: tuple[bytes, Any]) -> None:
    """It is metadata of the type that was asked for, or a DecodeError."""
    data, kind = case
    try:
        metadata = decode_metadata(data, kind)
    except DecodeError:
        return
    assert type(metadata.signed) is kind
    for delegator, role in ((REALM.root.signed, kind.type), (REALM.targets.signed, "province-31")):
        try:
            verify_threshold(delegator, role, metadata)
        except (DecodeError, SignatureError):
            continue


@settings(max_examples=150)
@given(harmed(DOCUMENTS) | st.tuples(st.binary(max_size=200), st.sampled_from([ProvinceFile])))
def test_documents(case: tuple[bytes, Any]) -> None:
    """It is a document that can be written again, or a DecodeError."""
    data, kind = case
    try:
        document = decode_json_file(kind, data, 1_000_000)
    except DecodeError:
        return
    assert decode_json_file(kind, encode_json_file(document), 1_000_000) == document


@settings(max_examples=100)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_join_requests(data: bytes) -> None:
    """Garbage is a DecodeError."""
    try:
        decode_join_request(data)
    except DecodeError:
        return
    raise AssertionError("no garbage is a join request")


@settings(max_examples=100)
@given(JSON)
def test_manifests(value: Any) -> None:
    """A manifest that is not ours, or asks for files outside its folder, is a TrustError."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "generations" / "1"
        folder.mkdir(parents=True)
        for manifest in (value, {"format": "healthcode/generation/1", "files": value, "rejected": value}):
            (folder / "manifest.json").write_text(json.dumps(manifest))
            try:
                read_generation(Path(name), 1, b"")
            except TrustError:
                continue
            raise AssertionError("no garbage is a generation")


@settings(max_examples=20)
@given(st.data())
def test_a_hostile_province_harms_itself_alone(data: st.DataObject) -> None:
    """Whatever a province signs with its own keys, the others move on and its last good files serve."""
    realm = SimulatedRealm(("11", "31"))
    with TemporaryDirectory() as name:
        client = realm.client(Path(name))
        client.refresh(realm.now)
        for role, keys in (
            ("province-31", realm.provinces["31"].authority[:2]),
            ("province-31-live", [realm.provinces["31"].live_key]),
        ):
            forged, _ = data.draw(harmed([(realm.files[f"metadata/1.{role}.json"], Targets)]))
            forged = forged.replace(b'"version":1', b'"version":2').replace(b'"version": 1', b'"version": 2')
            try:
                metadata = decode_metadata(forged, Targets)
                metadata.signatures.clear()
                for key in keys:
                    sign_metadata(metadata, key)
                forged = to_bytes(metadata)
            except Exception:  # noqa: BLE001  what cannot be signed is served as it is
                pass
            realm.files[f"metadata/2.{role}.json"] = forged
            realm.versions[role] = 2
        realm.revoke("11", 7, realm.now + 60)
        realm.publish_live("11")
        realm.publish()
        result = client.refresh(realm.now)
        assert all(each.reason is not Reason.INTERNAL for each in result.rejected), result.rejected
        view = result.view
        assert view.issuers["11"].head_version == 2
        assert "31" in view.issuers
        assert not TrustStore.open(name).warnings
