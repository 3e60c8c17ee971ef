"""Vectors of the code: valid ones of each kind, and one malformed for every way a decoder refuses."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

import cbor2

from healthcode.clock import rfc3339
from healthcode.identity.document import decode_document
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.base45 import encode_base45
from healthcode.wire.claims import CodeClaims, Level, Presentation, encode_claims
from healthcode.wire.code import decode_code, sign_code
from healthcode.wire.cose import Context, external_aad, sign1
from healthcode.wire.holder_tag import holder_tag
from tests.simulator.realm import NOW, fixed_key

REALM = "test-vectors"
DAY_SECONDS = 86_400
SALT = bytes.fromhex("0001020304050607")
CARD = ("10", "11010519491231002X")


def key_of(participant: str, purpose: KeyPurpose) -> PrivateKey:
    """The key that the simulated realm of these vectors uses."""
    return fixed_key(f"{REALM} {participant} {purpose}")


LIVE = key_of("31", KeyPurpose.LIVE)


def base_claims(**changes: Any) -> CodeClaims:
    """A plain GREEN LIVE code of Shanghai, a minute old, good for ten more."""
    plain = CodeClaims(
        issuer="31",
        issued_at=NOW - 60,
        expires_at=NOW + 600,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="G1",
        index=123_456_789,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=None,
        salt=None,
        name="张*三",
    )
    return plain._replace(**changes)


def plain_claims(claims: CodeClaims) -> dict[str, Any]:
    """Claims for JSON: hex for bytes, RFC 3339 for times."""
    fields = claims._asdict()
    for name in ("issued_at", "expires_at", "not_before"):
        fields[name] = None if fields[name] is None else rfc3339(fields[name])
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}


def valid_codes() -> list[dict[str, Any]]:
    """Every level and presentation, with and without what may be left out."""
    paper = {"presentation": Presentation.PAPER, "expires_at": NOW + 7 * DAY_SECONDS}
    tag = {"tag": holder_tag(decode_document(*CARD), SALT), "salt": SALT}
    wanted: list[tuple[str, CodeClaims]] = []
    for level in (Level.GREEN, Level.YELLOW, Level.RED, Level.PENDING):
        wanted.append((f"{level.lower()}-live", base_claims(level=level)))
        wanted.append((f"{level.lower()}-paper", base_claims(level=level, **paper)))
    national = {"issuer": "00", "level": Level.NO_ABNORMALITY}
    wanted += [
        ("no-abnormality-live", base_claims(**national)),
        ("no-abnormality-paper", base_claims(**national, **paper)),
        ("tag-and-name", base_claims(**tag)),
        ("shown-by-relative", base_claims(shown_by_relative=True, **tag)),
        ("paper-shown-by-relative", base_claims(shown_by_relative=True, **paper)),
        ("no-name", base_claims(name=None)),
        ("name-of-unicode-15", base_claims(name="\U0002ebf0*\U00031350")),
        ("name-in-tibetan", base_claims(name="བ*ས")),
        ("name-in-uyghur", base_claims(name="ئ*ن")),
        ("longest-name", base_claims(name="买*" + "买" * 6 + "ab")),
        ("not-before", base_claims(not_before=NOW + 60)),
        ("least-index", base_claims(index=0)),
        ("greatest-index", base_claims(index=2**30 - 1)),
        ("longest-rule", base_claims(rule="ABCDEFGH.2026-11")),
    ]
    made = []
    for name, claims in wanted:
        purpose = KeyPurpose.PAPER if claims.presentation is Presentation.PAPER else KeyPurpose.LIVE
        key = key_of(claims.issuer, purpose)
        made.append(_valid(name, sign_code(claims, key, REALM), key))
    return made + [_valid(name, text, LIVE) for name, text in _unusual_codes()]


def _unusual_codes() -> Iterator[tuple[str, str]]:
    rest = CLAIMS[-65537][1:]
    yield "later-version", later_version()
    yield "version-of-64-bits", claims({-65537: [2**64 - 1, *rest]})
    yield "four-containers-deep", claims({-65537: [2, *rest, [[]]]})


def later_version() -> str:
    """A code of a version to come: more elements, and a level that nobody knows yet (decides UNDECIDED)."""
    return claims({-65537: [2, 9, *CLAIMS[-65537][2:], {"more": [1]}]})


def another_algorithm() -> str:
    """A well-formed code whose alg is EdDSA (-8), signed over that header: verification says BAD_SIGNATURE."""
    protected = cbor2.dumps({1: -8, 4: kid(LIVE.public)})
    signed = cbor2.dumps(["Signature1", protected, external_aad(Context.CODE, REALM), PAYLOAD])
    return message(protected, {}, PAYLOAD, LIVE.sign(signed))


def _valid(name: str, text: str, key: PrivateKey) -> dict[str, Any]:
    decoded = decode_code(text, REALM)
    return {
        "name": name,
        "text": text,
        "cose": decoded.cose.hex(),
        "payload": decoded.sign1.payload.hex(),
        "kid": kid(key.public).hex(),
        "public": key.public.hex(),
        "external_aad": external_aad(Context.CODE, REALM).decode(),
        "claims": plain_claims(decoded.claims),
    }


PROTECTED = cbor2.dumps({1: -19, 4: kid(LIVE.public)})
PAYLOAD = encode_claims(base_claims())
GOOD = sign1(PAYLOAD, LIVE, Context.CODE, REALM)
SIGNATURE = GOOD[-64:]
CLAIMS: dict[int, Any] = cbor2.loads(PAYLOAD)


def text_of(cose: bytes) -> str:
    return "CNHT1:" + encode_base45(cose)


def message(*fields: Any, tag: int = 18) -> str:
    return text_of(cbor2.dumps(cbor2.CBORTag(tag, list(fields))))


def header(fields: Any) -> str:
    return message(cbor2.dumps(fields), {}, PAYLOAD, SIGNATURE)


def payload(data: bytes) -> str:
    """A code with this payload, truly signed, so that only the payload is wrong."""
    return text_of(sign1(data, LIVE, Context.CODE, REALM))


def claims(changes: dict[int, Any] | None = None, *, without: int | None = None) -> str:
    written = {**CLAIMS, **(changes or {})}
    written.pop(without or 0, None)
    return payload(cbor2.dumps(dict(sorted(written.items(), key=lambda item: cbor2.dumps(item[0])))))


def private(position: int, value: Any) -> str:
    """The private claim with one element replaced."""
    fields = list(CLAIMS[-65537])
    fields[position] = value
    return claims({-65537: fields})


def malformed_codes() -> Iterator[tuple[str, str, str]]:
    """(name, text, detail), outside in."""
    yield from _malformed_texts(text_of(GOOD))
    yield from _malformed_messages()
    yield from _malformed_claims()
    yield from _malformed_later_versions()


def _malformed_texts(good: str) -> Iterator[tuple[str, str, str]]:
    yield "empty", "", "code.prefix"
    yield "too-long", good + "0" * 2048, "code.too_long"
    yield "other-realm", "CNHC1:" + good[6:], "code.other_realm"
    yield "lower-case-prefix", "cnht1:" + good[6:], "code.lower_case"
    yield "european-prefix", "HC1:" + good[6:], "code.prefix"
    yield "space-before", " " + good, "code.white_space"
    yield "newline-after", good + "\n", "code.white_space"
    yield "lower-case-body", good[:50] + good[50:].lower(), "code.lower_case"
    yield "scanner-prefix", "]Q1" + good, "code.scanner_prefix"
    yield "control-characters-around", "\x02" + good + "\x03", "code.white_space"
    yield "byte-order-mark", "\ufeff" + good, "code.white_space"
    yield "full-width-digit", good[:-1] + "\uff10", "base45.character"
    yield "one-left-over", "CNHT1:0", "base45.length"
    yield "group-of-three-too-great", "CNHT1:GGW", "base45.overflow"
    yield "group-of-two-too-great", "CNHT1:::", "base45.overflow"
    yield "prefix-alone", "CNHT1:", "cbor.truncated"
    yield "over-one-kibibyte", text_of(b"\xd2" + b"\0" * 1024), "cbor.too_large"


def _malformed_messages() -> Iterator[tuple[str, str, str]]:
    yield "no-tag", text_of(GOOD[1:]), "cose.tag"
    yield "tag-61", text_of(b"\xd8\x3d" + GOOD), "cose.tag"
    yield "tag-98", message(PROTECTED, {}, PAYLOAD, SIGNATURE, tag=98), "cose.tag"
    yield "long-tag-18", text_of(b"\xd8\x12" + GOOD[1:]), "cose.tag"
    yield "truncated", text_of(GOOD[:-1]), "cbor.truncated"
    yield "trailing", text_of(GOOD + b"\0"), "cbor.trailing"
    yield "array-of-five", message(PROTECTED, {}, PAYLOAD, SIGNATURE, None), "cose.structure"
    yield "no-array", text_of(b"\xd2\xa0"), "cose.structure"
    yield "indefinite-array", text_of(b"\xd2\x9f" + GOOD[2:] + b"\xff"), "cbor.not_canonical"
    yield (
        "long-length",
        text_of(GOOD.replace(b"\x58\x40" + SIGNATURE, b"\x59\x00\x40" + SIGNATURE)),
        "cbor.not_canonical",
    )
    yield "protected-is-a-map", message({}, {}, PAYLOAD, SIGNATURE), "cose.protected"
    yield "no-kid", header({1: -19}), "cose.protected"
    yield "foreign-header", header({1: -19, 3: 60, 4: kid(LIVE.public)}), "cose.protected"
    yield "critical-header", header({1: -19, 2: [4], 4: kid(LIVE.public)}), "cbor.depth"
    yield (
        "header-out-of-order",
        message(cbor2.dumps({4: kid(LIVE.public), 1: -19}), {}, PAYLOAD, SIGNATURE),
        "cbor.not_canonical",
    )
    yield "alg-as-text", header({1: "EdDSA", 4: kid(LIVE.public)}), "cose.alg"
    yield "alg-as-float", header({1: -19.0, 4: kid(LIVE.public)}), "cose.alg"
    yield "kid-of-nine", header({1: -19, 4: kid(LIVE.public) + b"\0"}), "cose.kid"
    yield "unprotected-kid", message(PROTECTED, {4: kid(LIVE.public)}, PAYLOAD, SIGNATURE), "cose.unprotected"
    yield "detached-payload", message(PROTECTED, {}, None, SIGNATURE), "cose.payload"
    yield "signature-of-63", message(PROTECTED, {}, PAYLOAD, SIGNATURE[:-1]), "cose.signature"


def _malformed_claims() -> Iterator[tuple[str, str, str]]:
    yield "payload-empty", payload(b""), "cbor.truncated"
    yield "payload-truncated", payload(PAYLOAD[:-1]), "cbor.truncated"
    yield "payload-trailing", payload(PAYLOAD + b"\0"), "cbor.trailing"
    yield "payload-over-512", claims({-65537: [*CLAIMS[-65537], "x" * 520]}), "cbor.too_large"
    yield "payload-too-deep", private(7, [[[[["x"]]]]]), "cbor.depth"
    yield "payload-with-a-tag", private(7, cbor2.CBORTag(35, "x")), "cbor.tag"
    yield "payload-with-a-float", claims({-65537: [2, *CLAIMS[-65537][1:], 1.5]}), "cbor.type"
    yield "payload-reserved-byte", payload(b"\x1c"), "cbor.malformed"
    yield "claim-twice", payload(b"\xa2\x01\x62" + b"31" + b"\x01\x62" + b"31"), "cbor.duplicate_key"
    yield "claims-out-of-order", payload(cbor2.dumps(dict(reversed(CLAIMS.items())))), "cbor.not_canonical"
    yield "long-integer", payload(PAYLOAD.replace(b"\x06\x1a", b"\x06\x1b\0\0\0\0")), "cbor.not_canonical"
    # equal to our keys in many languages, and of the same length; each is another spelling
    yield "key-4-as-simple-value", payload(PAYLOAD.replace(b"\x04\x1a", b"\xe4\x1a")), "cbor.type"
    yield "key-1-as-true", payload(PAYLOAD.replace(b"\xa4\x01", b"\xa4\xf5")), "cbor.type"
    yield "key-65537-as-float", payload(PAYLOAD.replace(b"\x3a\0\1\0\0", b"\xfa\xc7\x80\0\x80")), "cbor.type"
    yield "claims-are-an-array", payload(cbor2.dumps([1])), "claims.keys"
    yield "no-expiry", claims(without=4), "claims.keys"
    yield "foreign-claim", claims({2: "subject"}), "claims.keys"
    yield "issuer-of-three", claims({1: "310"}), "claims.issuer"
    yield "issuer-as-number", claims({1: 31}), "claims.issuer"
    yield "time-as-float", claims({6: float(NOW)}), "claims.time"
    yield "time-as-text", claims({6: "2026"}), "claims.time"
    yield "time-too-great", claims({4: 253_402_300_800}), "claims.time"
    yield "time-before-1970", claims({6: -1}), "claims.time"
    yield "expires-when-issued", claims({4: NOW - 60}), "claims.order"
    yield "not-before-when-issued", claims({5: NOW - 60}), "claims.order"
    yield "not-before-expiry", claims({5: NOW + 600}), "claims.order"
    yield "seven-elements", claims({-65537: CLAIMS[-65537][:7]}), "claims.structure"
    yield "nine-elements-in-version-1", claims({-65537: [*CLAIMS[-65537], None]}), "claims.structure"
    yield "version-0", private(0, 0), "claims.version"
    yield "level-6-in-version-1", private(1, 6), "claims.level"
    yield "level-as-text", private(1, "GREEN"), "claims.level"
    yield "no-abnormality-of-a-province", private(1, 5), "claims.level_forbidden"
    yield "rule-in-lower-case", private(2, "g1"), "claims.rule"
    yield "rule-empty", private(2, ""), "claims.rule"
    yield "index-of-31-bits", private(3, 2**30), "claims.index"
    yield "index-negative", private(3, -1), "claims.index"
    yield "presentation-4", private(4, 4), "claims.presentation"
    yield "tag-of-three", private(5, b"abc"), "claims.tag"
    yield "tag-without-salt", private(5, b"ab"), "claims.tag"
    yield "salt-of-seven", private(6, b"1234567"), "claims.salt"
    yield "name-not-masked", private(7, "张小三"), "claims.name"
    yield "name-over-24-bytes", private(7, "张*" + "三" * 7), "claims.name"
    yield "name-with-a-control", private(7, "张*\u202e三"), "claims.name"
    yield "name-with-a-mark-of-unicode-15", private(7, "张*\U00010efd"), "claims.name"
    yield "name-with-a-private-character", private(7, "\ue000*"), "claims.name"
    yield "name-with-a-digit", private(7, "张*3"), "claims.name"
    yield "name-with-a-compatibility-ideograph", private(7, "\uf900*"), "claims.name"
    yield "name-not-nfc", private(7, unicodedata.normalize("NFD", "é*")), "claims.name"


def _malformed_later_versions() -> Iterator[tuple[str, str, str]]:
    yield "five-containers-deep", claims({-65537: [2, *CLAIMS[-65537][1:], [[[]]]]}), "cbor.depth"
    yield "five-maps-deep", claims({-65537: [2, *CLAIMS[-65537][1:], {1: {1: {}}}]}), "cbor.depth"
    yield "version-of-65-bits", private(0, 2**64), "cbor.tag"
