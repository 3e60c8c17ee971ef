"""What a code says: everything that may be said comes back, everything else has its word."""

import cbor2
import pytest

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.wire import cbor
from healthcode.wire.claims import CodeClaims, Level, Presentation, decode_claims, encode_claims

FIELDS = [1, 1, "G1", 123_456_789, 0, b"\x12\x34", bytes(range(8)), "张*三"]


def payload(fields=None, /, *, drop=(), **changes):
    names = {"iss": 1, "exp": 4, "nbf": 5, "iat": 6, "code": -65537}
    values = {1: "31", 4: 1_800_003_600, 6: 1_800_000_000, -65537: FIELDS if fields is None else fields}
    values |= {names.get(name, name): value for name, value in changes.items()}
    order = [1, 4, 5, 6, 7, -65537, "x"]
    return cbor2.dumps({key: values[key] for key in order if key in values and key not in drop})


def field(position, value):
    return payload([*FIELDS[:position], value, *FIELDS[position + 1 :]])


def test_the_bytes_are_the_documented_ones(claims):
    """What is written is what docs/wire-format.md shows, key by key."""
    assert encode_claims(claims) == payload()
    assert decode_claims(payload()) == claims


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "00", "level": Level.NO_ABNORMALITY},
        {"level": Level.YELLOW},
        {"level": Level.RED},
        {"level": Level.PENDING},
        {"presentation": Presentation.PAPER},
        {"shown_by_relative": True},
        {"presentation": Presentation.PAPER, "shown_by_relative": True},
        {"not_before": 1_800_000_001},
        {"tag": None, "salt": None},
        {"name": None},
        {"name": "*"},
        {"name": "*" * 23},
        {"name": "*" * 24},
        {"name": "艾" * 7 + "*"},
        {"index": 0},
        {"index": 23},
        {"index": 24},
        {"index": 255},
        {"index": 256},
        {"index": 65535},
        {"index": 65536},
        {"index": 2**30 - 1},
        {"rule": "A"},
        {"rule": "2026-11.A4-X.001"},
        {"issued_at": 0, "expires_at": 1},
        {"issued_at": 22, "expires_at": 24},
        {"issued_at": 2**32, "expires_at": 253_402_300_799},
    ],
)
def test_everything_that_may_be_said_comes_back(claims, change):
    """Each field at the ends of its range."""
    said = claims._replace(**change)
    assert decode_claims(encode_claims(said)) == said


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "cbor.truncated"),
        (payload() + b"\x00", "cbor.trailing"),
        (payload() * 2, "cbor.trailing"),
        (payload([*FIELDS[:7], "*" * 600]), "cbor.too_large"),
        (cbor2.dumps({**cbor2.loads(payload())}, indefinite_containers=True), "cbor.not_canonical"),
        (payload().replace(b"\x01\x62" + b"31", b"\x18\x01\x62" + b"31"), "cbor.not_canonical"),
        (payload().replace(b"\x62G1", b"\x78\x02G1"), "cbor.not_canonical"),
        (payload().replace(b"\x88\x01\x01", b"\x98\x08\x01\x01"), "cbor.not_canonical"),
        (payload().replace(b"\x1a\x07\x5b\xcd\x15", b"\x1b\0\0\0\0\x07\x5b\xcd\x15"), "cbor.not_canonical"),
        (cbor2.dumps(dict(reversed(cbor2.loads(payload()).items()))), "cbor.not_canonical"),
        (b"\xa5\x01\x6231" + payload()[1:], "cbor.duplicate_key"),
        (field(3, cbor2.CBORTag(2, b"\x05")), "cbor.tag"),
        (field(7, [[[["x"]]]]), "cbor.depth"),
        (b"\x80", "claims.keys"),
        (b"\xa0", "claims.keys"),
        (payload(drop=(1,)), "claims.keys"),
        (payload(drop=(6,)), "claims.keys"),
        (payload(drop=(-65537,)), "claims.keys"),
        (payload(x=1), "claims.keys"),
        (cbor2.dumps({1: "31", 4: 2, 6: 1, 7: b"x", -65537: FIELDS}), "claims.keys"),
        (payload(iss=31), "claims.issuer"),
        (payload(iss="3"), "claims.issuer"),
        (payload(iss="310"), "claims.issuer"),
        (payload(iss="3a"), "claims.issuer"),
        (payload(iss="\u0663\u0661"), "claims.issuer"),
        (payload(iss=b"31"), "claims.issuer"),
        (payload(exp=-1), "claims.time"),
        (payload(exp=253_402_300_800), "claims.time"),
        (payload(exp=2**40 - 1), "claims.time"),
        (payload(exp=1_800_003_600.0), "claims.time"),
        (payload(exp=True), "claims.time"),
        (payload(exp=None), "claims.time"),
        (payload(iat="x"), "claims.time"),
        (payload(nbf=None), "claims.time"),
        (payload(nbf=-1), "claims.order"),
        (payload(exp=1_800_000_000), "claims.order"),
        (payload(exp=5), "claims.order"),
        (payload(nbf=1_800_000_000), "claims.order"),
        (payload(nbf=1_800_003_600), "claims.order"),
        (payload(5), "claims.structure"),
        (payload([]), "claims.structure"),
        (payload({}), "claims.structure"),
        (payload(FIELDS[:7]), "claims.structure"),
        (payload([*FIELDS, 0]), "claims.structure"),
        (payload([2, *FIELDS[1:7]]), "claims.structure"),
        (field(0, 0), "claims.version"),
        (field(0, -1), "claims.version"),
        (field(0, "1"), "claims.version"),
        (field(0, True), "claims.version"),
        (field(0, 1.0), "claims.version"),
        (field(1, 0), "claims.level"),
        (field(1, 6), "claims.level"),
        (field(1, -1), "claims.level"),
        (field(1, "GREEN"), "claims.level"),
        (field(1, True), "claims.level"),
        (field(1, []), "claims.level"),
        (field(1, 5), "claims.level_forbidden"),
        (field(2, ""), "claims.rule"),
        (field(2, "g1"), "claims.rule"),
        (field(2, "A" * 17), "claims.rule"),
        (field(2, "A\n"), "claims.rule"),
        (field(2, None), "claims.rule"),
        (field(2, b"G1"), "claims.rule"),
        (field(3, -1), "claims.index"),
        (field(3, 2**30), "claims.index"),
        (field(3, "1"), "claims.index"),
        (field(3, False), "claims.index"),
        (field(3, 123_456_789.0), "claims.index"),
        (field(4, 4), "claims.presentation"),
        (field(4, -1), "claims.presentation"),
        (field(4, True), "claims.presentation"),
        (field(4, None), "claims.presentation"),
        (field(5, b"\x12"), "claims.tag"),
        (field(5, b"\x12\x34\x56"), "claims.tag"),
        (field(5, None), "claims.tag"),
        (field(5, "12"), "claims.tag"),
        (field(5, cbor2.undefined), "claims.tag"),
        (field(6, bytes(7)), "claims.salt"),
        (field(6, "12345678"), "claims.salt"),
        (field(6, None), "claims.tag"),
        (field(7, ""), "claims.name"),
        (field(7, "张小三"), "claims.name"),
        (field(7, "*" * 25), "claims.name"),
        (field(7, "艾" * 8 + "*"), "claims.name"),
        (field(7, b"*"), "claims.name"),
        (field(7, "张*\n"), "claims.name"),
        (field(7, "张*\x7f"), "claims.name"),
        (field(7, "张*\u202e"), "claims.name"),
        (field(7, "张*\u200b"), "claims.name"),
        (field(7, "*e\u0301"), "claims.name"),
        (field(7, cbor2.undefined), "claims.name"),
    ],
)
def test_refusals(data, detail):
    """Each rule has its word."""
    with pytest.raises(DecodeError) as caught:
        decode_claims(data)
    assert caught.value.detail == detail


def test_a_later_version_is_read_as_far_as_it_is_known():
    """The first eight mean the same, what follows is passed over, and an unknown level is UNKNOWN."""
    later = decode_claims(payload([2, 1, "G1", 5, 0, None, None, None, "more", [1, {"a": 2}]]))
    assert (later.version, later.level, later.index) == (2, Level.GREEN, 5)
    assert decode_claims(payload([2, 77, *FIELDS[2:]])).level is Level.UNKNOWN
    assert decode_claims(payload([2, *FIELDS[1:4], 5, *FIELDS[5:]])).presentation is Presentation.PAPER


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (payload([2, *FIELDS[1:], 1.5]), "cbor.type"),
        (payload([2, *FIELDS[1:], {2: 0, 1: 0}]), "cbor.not_canonical"),
        (payload([2, *FIELDS[1:], 5])[:-1] + b"\x18\x05", "cbor.not_canonical"),
        (payload([2, *FIELDS[1:]]) + b"\x00", "cbor.trailing"),
        (payload([2, -1, *FIELDS[2:]]), "claims.level"),
        (payload([2, 5, *FIELDS[2:]]), "claims.level_forbidden"),
    ],
)
def test_a_later_version_has_one_spelling_too(data, detail):
    """What is passed over must still be deterministic CBOR, and what is known still keeps its rules."""
    with pytest.raises(DecodeError) as caught:
        decode_claims(data)
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    "change",
    [
        {"level": Level.UNKNOWN},
        {"level": Level.NO_ABNORMALITY},
        {"version": 2},
        {"name": "张小三"},
        {"tag": None},
        {"index": 2**30},
        {"index": 2**64},
        {"rule": "lower"},
        {"expires_at": 1_800_000_000},
        {"not_before": 1_800_000_000},
        {"issuer": "311"},
    ],
)
def test_what_would_be_refused_is_not_written(claims, change):
    """The writer keeps every rule of the reader."""
    with pytest.raises(InvalidInputError):
        encode_claims(claims._replace(**change))


def test_a_repr_shows_nothing_of_the_person(claims):
    """Neither name nor tag nor salt, since reprs end in logs."""
    assert isinstance(claims, CodeClaims)
    for secret in ("张", "tag", "salt", "name"):
        assert secret not in repr(claims)


def test_the_cheap_check_agrees_with_the_full_one():
    """The length check of the fast path is the re-encoding check: one byte longer anywhere is refused."""
    data = payload(nbf=1_800_000_001)
    decode_claims(data)
    assert cbor.encode(cbor.decode(data, max_bytes=512, max_depth=4)) == data
