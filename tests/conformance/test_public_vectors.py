"""Public vectors: what others know about Ed25519 and COSE holds here too (tests/vectors/public)."""

import json
from pathlib import Path

import cbor2
import pytest

from healthcode.errors import DecodeError
from healthcode.signing.ed25519 import PrivateKey, verify
from healthcode.wire import cose

PUBLIC = Path(__file__).parents[1] / "vectors" / "public"
WYCHEPROOF = json.loads((PUBLIC / "wycheproof" / "ed25519_test.json").read_text())
SPECCHECK = json.loads((PUBLIC / "ed25519-speccheck" / "cases.json").read_text())
COSE = {path.stem: json.loads(path.read_text()) for path in sorted((PUBLIC / "cose").glob("*.json"))}

# how our strict shape differs from each example: all but one have kid in the unprotected header
COSE_REFUSALS = {
    "eddsa-sig-01": "cose.unprotected",
    "sign-fail-01": "cose.tag",
    "sign-fail-02": "cose.unprotected",
    "sign-fail-03": "cose.unprotected",
    "sign-fail-04": "cose.unprotected",
    "sign-fail-06": "cose.unprotected",
    "sign-fail-07": "cose.unprotected",
    "sign-pass-01": "cose.unprotected",
    "sign-pass-02": "cose.unprotected",
    "sign-pass-03": "cose.tag",
}


def wycheproof_cases():
    for group in WYCHEPROOF["testGroups"]:
        for case in group["tests"]:
            yield pytest.param(group["publicKey"]["pk"], case, id=str(case["tcId"]))


@pytest.mark.parametrize(("public", "case"), list(wycheproof_cases()))
def test_wycheproof(public, case):
    """Every valid signature is accepted and every invalid one refused."""
    holds = verify(bytes.fromhex(public), bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
    assert holds == (case["result"] == "valid")


def test_wycheproof_is_whole():
    """No case was lost on the way here."""
    assert len(list(wycheproof_cases())) == WYCHEPROOF["numberOfTests"] == 151


@pytest.mark.parametrize("number", range(12))
def test_speccheck(number):
    """Of the twelve cases on which libraries disagree, our rule accepts number 3 alone."""
    case = SPECCHECK[number]
    parts = (bytes.fromhex(case[part]) for part in ("pub_key", "message", "signature"))
    assert verify(*parts) == (number == 3)


def test_the_self_test_carries_the_same_twelve():
    """What services check at start is the public suite, unchanged."""
    packaged = Path(cose.__file__).parents[1] / "signing" / "speccheck.json"
    assert json.loads(packaged.read_text())["cases"] == SPECCHECK


@pytest.mark.parametrize("name", COSE)
def test_the_sig_structure_is_that_of_the_cose_examples(name):
    """Protected header, external data and payload are joined as the examples' ToBeSign shows."""
    example = COSE[name]
    message = cbor2.loads(bytes.fromhex(example["output"]["cbor"]))
    protected, _, payload, _ = message.value if isinstance(message, cbor2.CBORTag) else message
    signed = bytes.fromhex(example["intermediates"]["ToBeSign_hex"])
    external = bytes.fromhex(example["input"]["sign0"].get("external", ""))
    if example.get("fail"):  # what was changed after signing differs on purpose
        protected, payload = cbor2.loads(signed)[1], cbor2.loads(signed)[3]
    if protected == b"\xa0":  # RFC 9052: an empty header is signed as no bytes; ours is never empty
        protected = b""
    assert cose._sig_structure(protected, external, payload) == signed


def test_the_ed25519_example_verifies():
    """The one example with our algorithm: the same key, the same signature, accepted."""
    example = COSE["eddsa-sig-01"]
    key = PrivateKey(bytes.fromhex(example["input"]["sign0"]["key"]["d_hex"]))
    signed = bytes.fromhex(example["intermediates"]["ToBeSign_hex"])
    signature = cbor2.loads(bytes.fromhex(example["output"]["cbor"])).value[3]
    assert key.public.hex() == example["input"]["sign0"]["key"]["x_hex"]
    assert key.sign(signed) == signature
    assert verify(key.public, signed, signature)


@pytest.mark.parametrize("name", COSE)
def test_every_other_shape_is_refused_by_name(name):
    """None of the examples has our one shape, and each is told why."""
    with pytest.raises(DecodeError) as caught:
        cose.decode_sign1(bytes.fromhex(COSE[name]["output"]["cbor"]))
    assert caught.value.detail == COSE_REFUSALS[name]
