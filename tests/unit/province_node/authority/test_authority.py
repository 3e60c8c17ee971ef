"""The offline authority: m of n signatures over what a node asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from healthcode.errors import (
    ConfigurationError,
    ConflictError,
    HealthcodeError,
    InvalidInputError,
    Reason,
    SignatureError,
    TrustError,
)
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import read_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.json_files import ProvinceFile
from healthcode.trust.format.key_possession import new_province_key, prove_key
from healthcode.trust.verify.join_request import encode_join_request, verify_join_request
from province_node.authority.authority import Authority
from province_node.authority.bundle import (
    decode_bundle,
    describe_change,
    missing_signatures,
    verify_bundle,
    verify_bundle_content,
)
from province_node.authority.request import ProvinceRequest, decode_request, encode_request
from tests.simulator.realm import NOW, PEM

REALM = "test-authority"
PASSPHRASE = b"authority"


@dataclass
class Office:
    authority: Authority
    keys: list[PrivateKey]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    made = Authority.create(
        tmp_path / "authority",
        participant="31",
        realm=REALM,
        passphrases=[PASSPHRASE] * 3,
        threshold=2,
        now=NOW,
        development=True,
    )
    keys = [
        read_key_file(path, PASSPHRASE).private for path in sorted((tmp_path / "authority").glob("*.key"))
    ]
    return Office(made, keys)


def request(
    version: int = 1,
    code: str = "31",
    realm: str = REALM,
    endpoint: str = "127.0.0.1:1",
    live: bytes = b"h",
) -> ProvinceRequest:
    head = PrivateKey(live * 32)
    code_key = new_province_key(
        code, KeyPurpose.LIVE, PrivateKey(b"l" * 32), realm, not_before=NOW, not_after=NOW + 86_400
    )
    return ProvinceRequest(
        realm=realm,
        participant=code,
        version=version,
        live_public=head.public,
        live_possession=prove_key(code, KeyPurpose.HEAD, head, realm),
        created=NOW,
        province=ProvinceFile(
            realm=realm, participant=code, keys=(code_key,), tls_ca=(PEM,), endpoints={"federation": endpoint}
        ),
    )


def test_two_of_three_make_a_bundle_that_the_registry_takes(office):
    """At the threshold the bundle holds as a join request; below it, it says how many are missing."""
    begun = office.authority.begin(decode_request(encode_request(request())), now=NOW)
    one = office.authority.sign(begun, office.keys[:1], now=NOW)
    assert missing_signatures(one) == 1
    with pytest.raises(SignatureError):
        verify_join_request(one, REALM, NOW)
    two = office.authority.sign(decode_bundle(encode_join_request(one)), office.keys[2:], now=NOW)
    assert missing_signatures(two) == 0
    verify_join_request(two, REALM, NOW)


def test_the_same_key_twice_is_one_signature(office):
    """One holder cannot stand in for two."""
    begun = office.authority.begin(request(), now=NOW)
    signed = office.authority.sign(
        office.authority.sign(begun, office.keys[:1], now=NOW), office.keys[:1], now=NOW
    )
    assert missing_signatures(signed) == 1


def test_a_bundle_whose_link_names_a_key_twice_is_refused(office):
    """A hostile bundle gets a reason, not an exception of the TUF library."""
    begun = office.authority.begin(request(), now=NOW)
    keys = (begun.link.keys[0],) * 2
    twice = begun.model_copy(update={"link": begun.link.model_copy(update={"keys": keys})})
    bundle = decode_bundle(encode_join_request(twice))
    for use in (missing_signatures, lambda each: verify_bundle(each, NOW)):
        with pytest.raises(SignatureError, match="duplicate key"):
            use(bundle)


def test_a_strangers_key_is_refused(office):
    """A key that is not of this authority signs nothing."""
    begun = office.authority.begin(request(), now=NOW)
    with pytest.raises(SignatureError, match="not of this authority"):
        office.authority.sign(begun, [PrivateKey.generate()], now=NOW)


@pytest.mark.parametrize("other", [request(code="44"), request(realm="test-other")])
def test_another_participants_request_is_refused(office, other):
    """An authority signs for its own participant and realm alone."""
    with pytest.raises(InvalidInputError):
        office.authority.begin(other, now=NOW)


def test_a_key_without_possession_is_refused(office):
    """Before anybody signs, each key of the request proves that its owner holds it."""
    asked = request()
    key = asked.province.keys[0].model_copy(update={"possession": bytes(64)})
    province = asked.province.model_copy(update={"keys": (key,)})
    with pytest.raises(SignatureError):
        office.authority.begin(asked.model_copy(update={"province": province}), now=NOW)


def test_one_version_has_one_content(office):
    """Signing a version again with another content needs to be said."""
    office.authority.sign(office.authority.begin(request(), now=NOW), office.keys[:2], now=NOW)
    changed = request(endpoint="127.0.0.1:2")
    with pytest.raises(ConflictError, match="--replace"):
        office.authority.begin(changed, now=NOW)
    office.authority.begin(request(), now=NOW)
    office.authority.begin(changed, now=NOW, replace=True)


def test_a_window_that_no_node_would_accept_is_found_before_it_is_published(office):
    """A request is checked as the registry will check it, before anybody signs."""
    asked = request()
    long = new_province_key(
        "31", KeyPurpose.LIVE, PrivateKey(b"l" * 32), REALM, not_before=NOW, not_after=NOW + 8 * 86_400
    )
    province = asked.province.model_copy(update={"keys": (long,)})
    with pytest.raises(HealthcodeError):
        office.authority.begin(asked.model_copy(update={"province": province}), now=NOW)


def test_the_diff_names_all_that_changes(office):
    """Keys, CA, endpoints and the live key that come, go or change stand in the diff, a line each; nothing else does."""

    def part(**changes):
        asked = request()
        province = asked.province.model_copy(update=changes)
        return verify_bundle_content(
            office.authority.begin(asked.model_copy(update={"province": province}), now=NOW, replace=True)
        )

    before, after = part(), part(endpoints={"federation": "127.0.0.1:2"})
    assert describe_change(before, before) == []
    assert describe_change(before, after) == ["~ endpoint federation 127.0.0.1:1  becomes  127.0.0.1:2"]
    gone = part(keys=(), tls_ca=())
    assert [line[:1] for line in describe_change(gone, before)] == ["+", "+"]
    assert [line[:1] for line in describe_change(before, gone)] == ["-", "-"]
    assert [line[:6] for line in describe_change(None, before)][-1] == "+ HEAD"
    assert len(describe_change(None, before)) == 4
    other = verify_bundle_content(office.authority.begin(request(live=b"i"), now=NOW))
    (line,) = describe_change(before, other)
    assert line.startswith("~ HEAD key")
    assert "becomes" in line


def test_a_live_key_that_the_node_does_not_hold_is_refused(office):
    """A live key that somebody slipped into the request on its way would let that one revoke: nobody signs it."""
    asked = request()
    with pytest.raises(SignatureError) as caught:
        office.authority.begin(
            asked.model_copy(update={"live_public": PrivateKey(b"x" * 32).public}), now=NOW
        )
    assert caught.value.reason is Reason.POSSESSION_UNPROVEN


def test_a_bundle_that_shows_something_else_is_not_signed(office):
    """A province.json beside metadata that signs another one is refused before a holder sees it, also unsigned."""
    evil = office.authority.begin(request(endpoint="evil.example:443"), now=NOW)
    shown = evil.model_copy(
        update={"province_json": office.authority.begin(request(), now=NOW).province_json}
    )
    with pytest.raises(TrustError):
        verify_bundle_content(shown)
    with pytest.raises(TrustError):
        office.authority.sign(shown, office.keys[:1], now=NOW)


def test_history_remembers_the_last_version(office):
    """The next diff is against what was signed last, found again after opening the folder."""
    office.authority.sign(office.authority.begin(request(), now=NOW), office.keys[:2], now=NOW)
    second = request(2, endpoint="127.0.0.1:9")
    signed = office.authority.sign(office.authority.begin(second, now=NOW), office.keys[:2], now=NOW)
    again = Authority.open(office.authority.folder)
    last = again.last_completed(before=3)
    assert last is not None
    assert last == signed
    assert verify_bundle_content(last).province == second.province
    third = office.authority.begin(request(3, endpoint="127.0.0.1:8"), now=NOW)
    office.authority.sign(third, office.keys[:1], now=NOW)
    assert again.last_completed(before=4) == signed  # what only some have signed is passed over
    verify_bundle(signed, NOW)


def test_an_authority_is_never_overwritten(office):
    """A second init in the same folder is refused."""
    with pytest.raises(ConfigurationError):
        Authority.create(
            office.authority.folder, participant="31", realm=REALM, passphrases=[b"x"], threshold=1, now=NOW
        )


@pytest.mark.parametrize(("threshold", "keys"), [(0, 2), (3, 2), (1, 17)])
def test_an_impossible_threshold_is_refused(tmp_path, threshold, keys):
    """M lies between 1 and n, and n is at most 16."""
    with pytest.raises(InvalidInputError):
        Authority.create(
            tmp_path / "a",
            participant="31",
            realm=REALM,
            passphrases=[b"x"] * keys,
            threshold=threshold,
            now=NOW,
        )
