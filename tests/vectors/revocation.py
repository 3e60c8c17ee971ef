"""Vectors of the index scheme, of lists, of deltas and what comes of them, of heads."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cbor2

from healthcode.revocation.day import day_of
from healthcode.revocation.head import DayEntry, DeltaEntry, Head, SealingKey, encode_head
from healthcode.revocation.index import ISSUABLE, IndexScheme
from healthcode.revocation.list import ListKind, RevocationList, encode_list
from tests.simulator.realm import NOW
from tests.vectors.code import REALM

SECRET = bytes(range(32))
DAY = day_of(NOW)
GREATEST = 2**53 - 1
COUNTERS = (0, 1, 2, 3, 1000, 2**25, ISSUABLE - 1)


def indices() -> list[dict[str, Any]]:
    """The indices of a few counters, and of the first padding."""
    return [
        {
            "secret": SECRET.hex(),
            "series": series,
            "day": day,
            "indices": {str(counter): scheme.index(counter) for counter in COUNTERS},
            "padding": {str(number): scheme.padding_index(number) for number in (0, 1, 2)},
        }
        for series, day in ((0, DAY), (0, DAY + 1), (15, DAY))
        for scheme in (IndexScheme(SECRET, series, day),)
    ]


def _sets() -> Iterator[tuple[str, list[int]]]:
    yield "empty", []
    yield "zero", [0]
    yield "greatest", [2**30 - 1]
    yield "neighbours", [7, 8, 9]
    yield "every-series", [series << 26 | 4242 * series for series in range(16)]
    yield "dense", list(range(0, 6000, 2))
    yield "sparse", [number * number * 31 for number in range(1, 1000)]
    yield "full-run", list(range(65_000, 70_500))


def lists() -> list[dict[str, Any]]:
    """Sets and their one encoding; a delta too."""
    made = [(name, members, ListKind.FULL) for name, members in _sets()]
    made.append(("delta", [5, 99, 2**26 + 1], ListKind.DELTA))
    return [
        {
            "name": name,
            "kind": kind.name,
            "issuer": "31",
            "day": DAY,
            "count": len(members),
            "indices": members,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": data.hex(),
        }
        for name, members, kind in made
        for data in (encode_list(RevocationList(REALM, "31", DAY, members, kind)),)
    ]


def _sealed(body: bytes) -> bytes:
    return body + struct.pack(">I", zlib.crc32(body))


def _list(*sections: tuple[int, int, int, int], streams: bytes = b"", **changes: Any) -> bytes:
    realm = changes.get("realm", REALM).encode()
    head = b"HCRL" + bytes([changes.get("format", 1), changes.get("kind", 0), len(realm)]) + realm
    head += changes.get("issuer", "31").encode()
    head += struct.pack(">IB", changes.get("day", DAY), changes.get("sections", len(sections)))
    return _sealed(head + b"".join(struct.pack(">BBII", *section) for section in sections) + streams)


def malformed_lists() -> Iterator[tuple[str, bytes, str]]:
    """(name, bytes, detail), each to be read as the full list of 31 for DAY."""
    good = encode_list(RevocationList(REALM, "31", DAY, [7, 8, 9]))
    yield "empty-file", b"", "list.magic"
    yield "magic", b"HCRX" + good[4:], "list.magic"
    yield "cut-in-header", good[:12], "list.truncated"
    yield "format-2", _list(format=2), "list.format"
    yield "a-delta", _list(kind=1), "list.kind"
    yield "kind-2", _list(kind=2), "list.kind"
    yield "other-realm", _list(realm="test-other"), "list.realm"
    yield "other-issuer", _list(issuer="44"), "list.issuer"
    yield "other-day", _list(day=DAY + 1), "list.day"
    yield "17-sections", _list(sections=17), "list.section"
    yield "series-16", _list((16, 0, 1, 1), streams=b"\x01"), "list.section"
    yield "series-out-of-order", _list((1, 0, 1, 1), (0, 0, 1, 1), streams=b"\x01\x01"), "list.section"
    yield "series-twice", _list((1, 0, 1, 1), (1, 0, 1, 1), streams=b"\x01\x01"), "list.section"
    yield "more-entries-than-allowed", _list((0, 0, 2**32 - 1, 1), streams=b"\x01"), "list.count"
    yield "cut-in-streams", _sealed(good[:-5]), "list.truncated"
    yield "more-behind", _sealed(good[:-4] + b"\0"), "list.trailing"
    yield "checksum", good[:-1] + bytes([good[-1] ^ 1]), "list.checksum"
    yield "empty-section", _list((0, 0, 0, 1), streams=b"\x01"), "rice.count"
    yield "fewer-than-declared", _list((0, 0, 2, 1), streams=b"\x01"), "rice.count"
    yield "more-than-declared", _list((0, 0, 1, 1), streams=b"\x03"), "rice.count"
    yield "unary-too-short", _list((0, 0, 9, 1), streams=b"\x01"), "rice.length"
    yield "unary-too-long", _list((0, 25, 1, 9), streams=b"\0" * 8 + b"\x01" + b"\0" * 4), "rice.length"
    yield "unary-fill-byte", _list((0, 0, 1, 2), streams=b"\x01\0"), "rice.padding"
    yield "remainder-fill-bits", _list((0, 25, 1, 1), streams=b"\x01\0\0\0\x02"), "rice.padding"
    yield "k-not-by-the-rule", _list((0, 1, 1, 1), streams=b"\x01\0"), "rice.parameter"
    yield "k-26", _list((0, 26, 1, 1), streams=b"\x01\0\0\0\0"), "rice.parameter"
    yield "entry-of-27-bits", _list((0, 25, 1, 1), streams=b"\x04\0\0\0\0"), "rice.range"


def _grown(
    name: str, held: list[int], added: list[int], **changes: Any
) -> tuple[str, list[int], bytes, Head, bytes]:
    """(name, held, delta, head, full): a head that names a full list, and how to get there from `held`."""
    whole = sorted({*held, *changes.get("whole", added)})
    full = encode_list(RevocationList(REALM, "31", DAY, whole))
    delta = changes.get("delta") or encode_list(RevocationList(REALM, "31", DAY, added, ListKind.DELTA))
    digest = changes.get("sha256") or hashlib.sha256(delta).digest()
    named = DeltaEntry(4, len(added), digest, changes.get("length", len(delta)))
    count = changes.get("count", len(whole))
    entry = DayEntry(9, count, hashlib.sha256(full).digest(), len(full), named)
    return name, held, delta, Head(12, REALM, "31", DAY - 1, DAY + 22, {DAY: entry}), full


def _delta_row(name: str, held: list[int], delta: bytes, head: Head) -> dict[str, Any]:
    return {"name": name, "held": held, "delta": delta.hex(), "head": encode_head(head).hex()}


def deltas() -> list[dict[str, Any]]:
    """Older lists, a delta, and the full list that must come out; `held` is any version from the base on."""
    many = [number * 37 for number in range(400)]
    made = (
        _grown("one-more", many, [5]),
        _grown("from-the-base", many[:300], many[300:]),
        _grown("from-a-later-version", many[:350], many[300:]),
        _grown("already-there", many, many[300:]),
        _grown("another-series", many, [2**26 + 7, 2**27]),
    )
    return [
        {**_delta_row(name, held, delta, head), "full": full.hex()} for name, held, delta, head, full in made
    ]


def wrong_deltas() -> Iterator[tuple[dict[str, Any], str]]:
    """Deltas that are not what the head names, or do not come to what it names: take the full list."""
    held = list(range(0, 9000, 45))
    one = encode_list(RevocationList(REALM, "31", DAY, [7], ListKind.DELTA))
    full = encode_list(RevocationList(REALM, "31", DAY, [7]))
    for (name, *rest), detail in (
        (_grown("length", held, [7], length=len(one) + 1), "list.length"),
        (_grown("digest", held, [7], sha256=b"\x11" * 32), "list.digest"),
        (_grown("a-full-list-as-delta", held, [7], delta=full), "list.kind"),
        (_grown("another-count", held, [7, 8], delta=one), "list.count"),
        (_grown("comes-to-less", held, [7], whole=[7, 8]), "delta.result"),
        (_grown("comes-to-another-set", held, [7], whole=[8]), "delta.result"),
    ):
        yield _delta_row(name, rest[0], rest[1], rest[2]), detail


def choices() -> list[dict[str, Any]]:
    """What a client fetches, by the version of the day's list that it holds."""
    delta = DeltaEntry(4, 5, b"\x22" * 32, 60)
    from_0 = DeltaEntry(0, 5, b"\x22" * 32, 60)
    rows = (
        ("nothing-held", 900, delta, None, "full"),
        ("before-the-base", 900, delta, 3, "full"),
        ("the-base", 900, delta, 4, "delta"),
        ("after-the-base", 900, delta, 8, "delta"),
        ("no-delta", 900, None, 8, "full"),
        ("full-is-shorter", 59, delta, 8, "full"),
        ("as-long", 60, delta, 8, "full"),
        ("base-0-and-nothing-held", 900, from_0, None, "full"),
        ("base-0-and-version-1", 900, from_0, 1, "delta"),
    )
    return [
        {
            "name": name,
            "version": 9,
            "full_bytes": full_bytes,
            "delta": named and {"base_version": named.base_version, "bytes": named.byte_count},
            "held_version": held,
            "fetch": fetch,
        }
        for name, full_bytes, named, held, fetch in rows
    ]


def heads() -> list[dict[str, Any]]:
    """An empty head, and one with everything."""
    delta = DeltaEntry(2, 4, b"\x22" * 32, 60)
    days = {DAY: DayEntry(3, 9, b"\x11" * 32, 99, delta), DAY + 2: DayEntry(1, 1, b"\x33" * 32, 51)}
    kids = frozenset({b"\0" * 8, b"\xff" * 8})
    sealing = (SealingKey(b"\x44" * 8, b"\x55" * 32, NOW, NOW + 86_400),)
    one = (1, b"\x33" * 32, 51)
    sizes = (
        SealingKey(b"\x11" * 8, b"\x55", NOW, NOW + 1),
        SealingKey(b"\x22" * 8, b"\x55" * 256, NOW, NOW + 1),
    )
    made = [
        ("empty", Head(1, REALM, "31", DAY - 1, DAY + 22, {})),
        ("full", Head(7, REALM, "31", DAY - 1, DAY + 22, days, kids, sealing)),
        ("after-a-restore", Head(8, REALM, "31", DAY - 1, DAY + 22, {}, first_series=3)),
        ("greatest-version", Head(GREATEST, REALM, "31", DAY, DAY, {DAY: DayEntry(GREATEST, *one)})),
        (
            "400-days-with-a-list",
            Head(2, REALM, "31", 0, 399, {day: DayEntry(1, *one) for day in range(400)}),
        ),
        ("a-range-of-more-than-400-days", Head(2, REALM, "31", 0, 2**32 - 1, {2**32 - 1: DayEntry(1, *one)})),
        (
            "a-delta-from-0",
            Head(2, REALM, "31", DAY, DAY, {DAY: DayEntry(1, *one, DeltaEntry(0, *one[:2], 50))}),
        ),
        ("sealing-keys-of-1-and-256-bytes", Head(2, REALM, "31", DAY, DAY, {}, sealing_keys=sizes)),
    ]
    return [
        {"name": name, "bytes": encode_head(head).hex(), "head": _plain_head(head)} for name, head in made
    ]


def _plain_head(head: Head) -> dict[str, Any]:
    return {
        "version": head.version,
        "realm": head.realm,
        "issuer": head.issuer,
        "covered_from": head.covered_from,
        "covered_to": head.covered_to,
        "days": {
            str(day): {
                "version": entry.version,
                "count": entry.count,
                "full": [entry.full_sha256.hex(), entry.full_bytes],
                "delta": entry.delta
                and [
                    entry.delta.base_version,
                    entry.delta.count,
                    entry.delta.sha256.hex(),
                    entry.delta.byte_count,
                ],
            }
            for day, entry in head.days.items()
        },
        "killed_kids": sorted(kid.hex() for kid in head.killed_kids),
        "sealing_keys": [
            [key.kid.hex(), key.public.hex(), key.not_before, key.not_after] for key in head.sealing_keys
        ],
        "first_series": head.first_series,
    }


def later_heads() -> list[dict[str, str]]:
    """Heads with what later writers may add, and the bytes of what a reader of today reads."""
    day = [DAY, 1, 1, [b"\x33" * 32, 51], None]
    plain = {1: 1, 2: 5, 3: REALM, 4: "31", 5: DAY, 6: DAY, 7: [day], 8: [], 9: []}
    made = {
        "a-key-above-10": {**plain, 11: "later"},
        "a-day-of-six": {**plain, 7: [[*day, "later"]]},
        "six-containers-deep": {**plain, 11: [[[[{}]]]]},
    }
    return [
        {"name": name, "bytes": cbor2.dumps(head).hex(), "read_as": cbor2.dumps(plain).hex()}
        for name, head in made.items()
    ]


def malformed_heads() -> Iterator[tuple[str, bytes, str]]:
    """(name, bytes, detail), each to be read as the head of 31."""
    entry = [DAY, 1, 2, [b"\x11" * 32, 60], None]
    good = {1: 1, 2: 5, 3: REALM, 4: "31", 5: DAY, 6: DAY + 8, 7: [entry], 8: [b"\0" * 8], 9: []}
    for name, key, value, detail in (
        ("format-2", 1, 2, "head.format"),
        ("version-0", 2, 0, "head.version"),
        ("version-above-53-bits", 2, GREATEST + 1, "head.version"),
        ("version-of-a-day-above-53-bits", 7, [[DAY, GREATEST + 1, *entry[2:]]], "head.day"),
        ("day-of-33-bits", 6, 2**32, "head.range"),
        ("other-realm", 3, "test-other", "head.realm"),
        ("other-issuer", 4, "44", "head.issuer"),
        ("range-backwards", 6, DAY - 1, "head.range"),
        ("day-out-of-range", 7, [[DAY + 9, *entry[1:]]], "head.day"),
        ("day-twice", 7, [entry, entry], "head.day"),
        ("empty-list-named", 7, [[DAY, 1, 0, *entry[3:]]], "head.day"),
        ("hash-of-31", 7, [[*entry[:3], [b"\x11" * 31, 60], None]], "head.list"),
        ("list-over-64-mebibytes", 7, [[*entry[:3], [b"\x11" * 32, 2**26 + 1], None]], "head.list"),
        ("delta-from-below-0", 7, [[*entry[:4], [-1, 1, b"\x22" * 32, 9]]], "head.delta"),
        ("delta-from-itself", 7, [[*entry[:4], [1, 1, b"\x22" * 32, 9]]], "head.delta"),
        ("kids-out-of-order", 8, [b"\xff" * 8, b"\0" * 8], "head.kid"),
        ("kid-of-seven", 8, [b"\0" * 7], "head.kid"),
        ("sealing-key-without-life", 9, [[b"\x44" * 8, b"\x55" * 32, NOW, NOW]], "head.sealing_key"),
        ("sealing-key-of-no-bytes", 9, [[b"\x44" * 8, b"", NOW, NOW + 1]], "head.sealing_key"),
        ("sealing-key-of-257-bytes", 9, [[b"\x44" * 8, bytes(257), NOW, NOW + 1]], "head.sealing_key"),
        ("kid-of-a-sealing-key-of-9", 9, [[b"\x44" * 9, b"\x55", NOW, NOW + 1]], "head.sealing_key"),
        ("first-series-0", 10, 0, "head.series"),
        ("first-series-17", 10, 17, "head.series"),
    ):
        yield name, cbor2.dumps({**good, key: value}), detail
    yield "a-key-missing", cbor2.dumps({key: good[key] for key in good if key != 9}), "head.structure"
    yield "no-map", cbor2.dumps([1]), "head.structure"
    many = [[day, *entry[1:]] for day in range(401)]
    yield "401-days-with-a-list", cbor2.dumps({**good, 5: 0, 7: many}), "head.day"
    yield "seven-containers-deep", cbor2.dumps({**good, 11: [[[[[{}]]]]]}), "cbor.depth"
    yield "over-64-kibibytes", cbor2.dumps({**good, 11: b"\0" * 65_536}), "cbor.too_large"
