"""Our decoders and verifier against tests/vectors, read as a second implementation would read them."""

from __future__ import annotations

import json
import re
import timeit
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyroaring import BitMap

from healthcode.audit import consistency
from healthcode.audit.checkpoint import decode_checkpoint
from healthcode.audit.consistency import decode_consistency
from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.errors import DecodeError
from healthcode.identity.document import decode_document
from healthcode.identity.name import mask_name
from healthcode.policy.area import decode_areas
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.policy.decide import Facts
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome, PersonCategory, PlaceType
from healthcode.revocation import head, rice
from healthcode.revocation import list as revocation_list
from healthcode.revocation.delta import Rebuilt, apply_delta, choose_download
from healthcode.revocation.head import DayEntry, DeltaEntry, decode_head, encode_head
from healthcode.revocation.index import IndexScheme
from healthcode.revocation.list import ListKind, RevocationList, decode_list, encode_list
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.trust.client import TrustClient
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.format.metadata_fields import audit_checkpoint_in
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from healthcode.verification import outcome, verify
from healthcode.verification.verifier import Verifier
from healthcode.wire import answer, base45, cbor, claims, code, cose, question, scan
from healthcode.wire.answer import decode_answer
from healthcode.wire.code import decode_code
from healthcode.wire.cose import Context, verify_sign1
from healthcode.wire.holder_tag import holder_tag
from healthcode.wire.question import decode_question
from tests.vectors import generate

FOLDER = Path(__file__).parent.parent / "vectors"
WIRE = FOLDER / "wire"


@cache
def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((WIRE / name).read_text(encoding="utf-8"))
    return content


def rows(name: str, table: str) -> list[Any]:
    return [pytest.param(row, id=row["name"]) for row in load(name)[table]]


def details(*modules: Any) -> set[str]:
    """Every dotted word that the sources of these modules can refuse with."""
    sources = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in modules)
    return set(re.findall(r'DecodeError\(\s*"([a-z0-9_]+\.[a-z0-9_]+)"', sources))


def refusal(decode: Callable[[], object]) -> str:
    with pytest.raises(DecodeError) as caught:
        decode()
    return caught.value.detail


def test_the_files_are_what_the_generator_writes() -> None:
    """Nobody edits a vector by hand, and no change of a format goes unseen."""
    made = generate.files()
    assert generate.present() == set(made)
    for path, data in made.items():
        assert (FOLDER / path).read_bytes() == data, path


@pytest.mark.parametrize(
    "row", load("keys.json")["keys"], ids=lambda row: f"{row['participant']}-{row['purpose']}"
)
def test_keys_follow_from_their_seeds(row: dict[str, str]) -> None:
    """Public key and kid follow from the seed."""
    key = PrivateKey(bytes.fromhex(row["seed"]))
    assert (key.public.hex(), kid(key.public).hex()) == (row["public"], row["kid"])


@pytest.mark.parametrize("row", rows("codes.json", "codes"))
def test_valid_codes_decode_to_their_claims_and_their_signature_holds(row: dict[str, Any]) -> None:
    """Text, COSE bytes, payload, claims and signature agree."""
    realm = load("codes.json")["realm"]
    decoded = decode_code(row["text"], realm)
    assert decoded.cose.hex() == row["cose"]
    assert decoded.sign1.payload.hex() == row["payload"]
    assert verify_sign1(decoded.sign1, bytes.fromhex(row["public"]), Context.CODE, realm)
    assert not verify_sign1(decoded.sign1, bytes.fromhex(row["public"]), Context.CODE, "test-other")
    assert not verify_sign1(decoded.sign1, bytes.fromhex(row["public"]), Context.ANSWER, realm)
    for name, value in row["claims"].items():
        found = getattr(decoded.claims, name)
        if name in {"issued_at", "expires_at", "not_before"}:
            found = None if found is None else rfc3339(found)
        assert (found.hex() if isinstance(found, bytes) else found) == value, name


def test_valid_codes_fit_the_qr_code_they_should() -> None:
    """A GREEN code with tag and name fits QR version 8-M (221 characters), and every code 9-M (262)."""
    sizes = {row["name"]: len(row["text"]) for row in load("codes.json")["codes"]}
    assert sizes["tag-and-name"] <= 221
    assert max(sizes.values()) <= 262


@pytest.mark.parametrize("row", rows("malformed_codes.json", "codes"))
def test_malformed_codes_are_refused_by_name_and_cheaply(row: dict[str, str]) -> None:
    """Each is refused with its own word, in less than a millisecond."""
    realm = load("malformed_codes.json")["realm"]

    def decode() -> str:
        return refusal(lambda: decode_code(row["text"], realm))

    assert decode() == row["detail"]
    assert min(timeit.repeat(decode, number=1, repeat=5)) < 0.001


def test_there_is_a_malformed_code_for_every_way_a_decoder_refuses() -> None:
    """No rule of the code's decoders lacks a vector."""
    found = {row["detail"] for row in load("malformed_codes.json")["codes"]}
    assert found == details(code, scan, base45, cose, cbor, claims)


@pytest.mark.parametrize("row", rows("exchange.json", "questions"))
def test_questions(row: dict[str, Any]) -> None:
    """A question decodes to its fields and its signature holds."""
    signed = decode_question(bytes.fromhex(row["cose"]))
    assert verify_sign1(
        signed.sign1, bytes.fromhex(row["public"]), Context.QUESTION, load("exchange.json")["realm"]
    )
    assert signed.question.code.hex() == row["question"]["code"]
    assert signed.question.mode == row["question"]["mode"]


@pytest.mark.parametrize("row", rows("exchange.json", "answers"))
def test_answers(row: dict[str, Any]) -> None:
    """An answer decodes to its fields and its signature holds."""
    signed = decode_answer(bytes.fromhex(row["cose"]))
    assert verify_sign1(
        signed.sign1, bytes.fromhex(row["public"]), Context.ANSWER, load("exchange.json")["realm"]
    )
    assert signed.answer.status == row["answer"]["status"]
    assert signed.answer.code_sha256.hex() == row["answer"]["code_sha256"]


@pytest.mark.parametrize("row", rows("exchange.json", "malformed_questions"))
def test_malformed_questions(row: dict[str, str]) -> None:
    """Each is refused with its own word."""
    assert refusal(lambda: decode_question(bytes.fromhex(row["cose"]))) == row["detail"]


@pytest.mark.parametrize("row", rows("exchange.json", "malformed_answers"))
def test_malformed_answers(row: dict[str, str]) -> None:
    """Each is refused with its own word."""
    assert refusal(lambda: decode_answer(bytes.fromhex(row["cose"]))) == row["detail"]


def test_there_is_a_malformed_question_and_answer_for_every_rule() -> None:
    """No rule of their decoders lacks a vector; what both share is looked for in each."""
    shared = {"structure", "time", "version", "mode", "nonce"}
    for table, module, kind in (
        ("malformed_questions", question, "question"),
        ("malformed_answers", answer, "answer"),
    ):
        found = {row["detail"] for row in load("exchange.json")[table]}
        assert found == details(module) | {f"{kind}.{word}" for word in shared}


@pytest.mark.parametrize("row", rows("checkpoints.json", "live_metadata"))
def test_live_metadata_and_its_checkpoint(row: dict[str, Any]) -> None:
    """Metadata with any field is read; the checkpoint comes out as it was signed, or is refused with its own word."""
    live = decode_metadata(row["file"].encode(), Targets).signed
    assert live.version == 7
    if "detail" in row:
        assert refusal(lambda: audit_checkpoint_in(live)) == row["detail"]
        return
    found = audit_checkpoint_in(live)
    assert (None if found is None else found.to_json()) == row["checkpoint"]


@pytest.mark.parametrize("row", rows("checkpoints.json", "proofs"))
def test_proofs_of_growth(row: dict[str, Any]) -> None:
    """A proof decodes, its signature holds, and it joins its two checkpoints exactly when the log only grew."""
    signed = decode_consistency(bytes.fromhex(row["cose"]))
    public, realm = bytes.fromhex(row["public"]), load("checkpoints.json")["realm"]
    assert verify_sign1(signed.sign1, public, Context.AUDIT, realm)
    assert signed.proof.home == row["home"]
    earlier, later = decode_checkpoint(row["earlier"]), decode_checkpoint(row["later"])
    assert signed.proof.proves(earlier, later) is row["proves"]


@pytest.mark.parametrize("row", rows("checkpoints.json", "malformed_proofs"))
def test_malformed_proofs_of_growth(row: dict[str, str]) -> None:
    """Each is refused with its own word, and each word has one."""
    assert refusal(lambda: decode_consistency(bytes.fromhex(row["cose"]))) == row["detail"]
    found = {each["detail"] for each in load("checkpoints.json")["malformed_proofs"]}
    assert found == details(consistency)


@pytest.mark.parametrize(
    "row", load("index.json")["schemes"], ids=lambda row: f"{row['series']}-{row['day']}"
)
def test_indices(row: dict[str, Any]) -> None:
    """Counters and padding come to their indices."""
    scheme = IndexScheme(bytes.fromhex(row["secret"]), row["series"], row["day"])
    assert {counter: scheme.index(int(counter)) for counter in row["indices"]} == row["indices"]
    assert {number: scheme.padding_index(int(number)) for number in row["padding"]} == row["padding"]


@pytest.mark.parametrize("row", rows("lists.json", "lists"))
def test_lists(row: dict[str, Any]) -> None:
    """A set has these bytes, and these bytes are that set."""
    realm, kind = load("lists.json")["realm"], ListKind[row["kind"]]
    data = bytes.fromhex(row["bytes"])
    assert encode_list(RevocationList(realm, row["issuer"], row["day"], row["indices"], kind)) == data
    decoded = decode_list(data, realm=realm, issuer=row["issuer"], day=row["day"], kind=kind)
    assert list(decoded.bitmap) == sorted(row["indices"])


@pytest.mark.parametrize("row", rows("lists.json", "malformed"))
def test_malformed_lists(row: dict[str, str]) -> None:
    """Each is refused with its own word."""
    about = load("lists.json")

    def decode() -> object:
        data = bytes.fromhex(row["bytes"])
        return decode_list(data, realm=about["realm"], issuer=about["issuer"], day=about["day"])

    assert refusal(decode) == row["detail"]


def test_there_is_a_malformed_list_and_head_for_every_rule() -> None:
    """No rule of their decoders lacks a vector, but the one that takes 64 MiB to break."""
    found = {row["detail"] for row in load("lists.json")["malformed"]}
    assert found == (details(revocation_list, rice) | {"list.truncated", "list.trailing"}) - {
        "list.too_large"
    }
    of_heads = {row["detail"] for row in load("heads.json")["malformed"]}
    words = set(re.findall(r'"(head\.[a-z_]+)"', Path(head.__file__).read_text(encoding="utf-8")))
    assert of_heads == words | {"cbor.too_large", "cbor.depth"}


def _with_delta(row: dict[str, Any]) -> Rebuilt:
    about = load("deltas.json")
    head_ = decode_head(bytes.fromhex(row["head"]), realm=about["realm"], issuer=about["issuer"])
    return apply_delta(head_, about["day"], BitMap(row["held"]), bytes.fromhex(row["delta"]))


@pytest.mark.parametrize("row", rows("deltas.json", "deltas"))
def test_deltas(row: dict[str, Any]) -> None:
    """An older list and the delta make the full list that the head names, byte for byte."""
    rebuilt = _with_delta(row)
    assert rebuilt.data.hex() == row["full"]
    about = load("deltas.json")
    whole = decode_list(rebuilt.data, realm=about["realm"], issuer=about["issuer"], day=about["day"])
    assert whole.bitmap == rebuilt.bitmap
    assert set(row["held"]) <= set(whole.bitmap)


@pytest.mark.parametrize("row", rows("deltas.json", "wrong"))
def test_wrong_deltas(row: dict[str, Any]) -> None:
    """Each is refused with its own word; the full list decides then."""
    assert refusal(lambda: _with_delta(row)) == row["detail"]


@pytest.mark.parametrize("row", rows("deltas.json", "choices"))
def test_what_a_client_fetches(row: dict[str, Any]) -> None:
    """The delta where it applies to what is held and is shorter, else the full list."""
    delta = row["delta"] and DeltaEntry(row["delta"]["base_version"], 1, b"d" * 32, row["delta"]["bytes"])
    entry = DayEntry(row["version"], 9, b"f" * 32, row["full_bytes"], delta)
    chosen = choose_download(entry, row["held_version"])
    assert ("full" if chosen is None else "delta") == row["fetch"]


@pytest.mark.parametrize("row", rows("heads.json", "heads"))
def test_heads(row: dict[str, Any]) -> None:
    """A head decodes to its fields and encodes to the same bytes."""
    about, data = load("heads.json"), bytes.fromhex(row["bytes"])
    decoded = decode_head(data, realm=about["realm"], issuer=about["issuer"])
    assert encode_head(decoded) == data
    assert {str(day): entry.full_sha256.hex() for day, entry in decoded.days.items()} == {
        day: entry["full"][0] for day, entry in row["head"]["days"].items()
    }
    assert sorted(each.hex() for each in decoded.killed_kids) == row["head"]["killed_kids"]
    assert decoded.first_series == row["head"]["first_series"]


@pytest.mark.parametrize("row", rows("heads.json", "later"))
def test_heads_of_later_writers(row: dict[str, str]) -> None:
    """What this version does not know is passed over, and the rest is read."""
    about = load("heads.json")
    decoded = decode_head(bytes.fromhex(row["bytes"]), realm=about["realm"], issuer=about["issuer"])
    assert encode_head(decoded).hex() == row["read_as"]


@pytest.mark.parametrize("row", rows("heads.json", "malformed"))
def test_malformed_heads(row: dict[str, str]) -> None:
    """Each is refused with its own word."""
    about, data = load("heads.json"), bytes.fromhex(row["bytes"])
    assert refusal(lambda: decode_head(data, realm=about["realm"], issuer=about["issuer"])) == row["detail"]


@pytest.mark.parametrize(
    "row", load("holder_tags.json")["tags"], ids=lambda row: row["type"] + row["number"][-4:]
)
def test_holder_tags(row: dict[str, str]) -> None:
    """Document and salt come to the tag."""
    document = decode_document(row["type"], row["number"])
    assert holder_tag(document, bytes.fromhex(row["salt"])).hex() == row["tag"]


@pytest.mark.parametrize("row", load("names.json")["names"], ids=lambda row: ascii(row["masked"]))
def test_names(row: dict[str, str]) -> None:
    """A full name comes to its mask, also with marks and format characters in it."""
    assert mask_name(row["name"]) == row["masked"]


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    """A verifier on the committed trust tree, taken from a plain folder and opened again offline."""
    about, folder = load("verdicts.json"), tmp_path_factory.mktemp("trust")
    source = FolderSource(FOLDER / "trust")
    init_trust(folder, source, about["root_fingerprint"])
    TrustClient(folder, source).refresh(parse_rfc3339(about["now"]))
    return Verifier(TrustStore.open(folder))


@pytest.mark.parametrize("row", rows("verdicts.json", "verdicts"))
def test_verdicts(verifier: Verifier, row: dict[str, Any]) -> None:
    """The whole verdict on each code, from trust files alone."""
    verdict = verifier.verify(
        row["text"],
        place=row["place_type"],
        area=row["area_code"],
        category=row["person_category"],
        document=None if row["document"] is None else decode_document(*row["document"]),
        item_id=row["name"],
        now=parse_rfc3339(row["now"]),
    )
    assert verdict.to_dict() == row["verdict"]
    assert row["name"].startswith(str(verdict.outcome).lower().replace("_", "-")) or row["name"] == "aging"


def test_there_is_a_verdict_for_every_outcome_and_detail() -> None:
    """Every outcome of offline verification is there, and every detail but those of an issuer without a head or one that
    left, and of a contact with a source.
    """  # noqa: D205  one sentence
    found = load("verdicts.json")["verdicts"]
    outcomes = {row["verdict"]["outcome"] for row in found}
    assert outcomes == set(Outcome) - {Outcome.NOT_FOUND, Outcome.TEMPORARILY_UNAVAILABLE}
    source = "".join(Path(each.__file__).read_text(encoding="utf-8") for each in (outcome, verify))
    words = set(re.findall(r'Outcome\.[A-Z_]+,\s*"([a-z]+\.[a-z_]+)"', source))
    missing = words - {row["verdict"]["detail"] for row in found}
    assert missing <= {"revocation.no_head", "clock.ahead", "issuer.retired"}
    assert len(words) > 12


@pytest.mark.parametrize("row", rows("formats.json", "formats"))
def test_a_newer_format_is_told_from_rubbish(row: dict[str, str]) -> None:
    """Only a file of a newer format of ours is refused as such."""
    decode = {"policy": decode_policy, "areas": decode_areas}[row["kind"]]
    with pytest.raises(DecodeError) as caught:
        decode(row["file"].encode())
    assert caught.value.detail == row["detail"]


def test_rulings() -> None:
    """The default policy decides each outcome, level and tier as the table says."""
    policy = decode_policy(default_policy_bytes()).in_force(parse_rfc3339("2026-11-21T08:00:00Z"))
    for found, level, tier, decision, rule in load("rulings.json")["rulings"]:
        facts = Facts(
            Outcome(found),
            None if level is None else claims.Level(level),
            TrustTier(tier),
            PlaceType.OTHER,
            None,
            PersonCategory.GENERAL,
        )
        ruling = policy.decide(facts)
        assert (ruling.decision, ruling.rule_id) == (decision, rule)
