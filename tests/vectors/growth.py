"""Vectors of audit checkpoints in live metadata, and of signed proofs that a log has grown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from healthcode.audit.consistency import ConsistencyProof, GrowthQuestion, sign_consistency
from healthcode.clock import rfc3339
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.layout import AUDIT_FIELD
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata
from healthcode.wire import cbor
from healthcode.wire.cose import Context, sign1
from tests.simulator.realm import NOW
from tests.vectors.code import REALM, key_of
from tests.world.growing_log import MemoryLog

HOME = key_of("31", KeyPurpose.ANSWER)
LIVE = key_of("31", KeyPurpose.LIVE)
LOG = MemoryLog("vectors", blocks=5)
QUESTION = GrowthQuestion(LOG.log, 512, 1280)


def _metadata(field: object) -> str:
    metadata = new_live_metadata("31", version=7, head=b"a head", now=NOW)
    if field is not None:
        metadata.signed.unrecognized_fields[AUDIT_FIELD] = field
    sign_metadata(metadata, LIVE)
    return to_bytes(metadata).decode()


def live_metadata() -> list[dict[str, Any]]:
    """Signed live metadata with a checkpoint, without one, and with something else: `checkpoint` or `detail`."""
    log, size, root = LOG.checkpoint(512).to_json()
    rows: list[dict[str, Any]] = [
        {"name": "checkpoint", "file": _metadata([log, size, root]), "checkpoint": [log, size, root]},
        {"name": "none", "file": _metadata(None), "checkpoint": None},
    ]
    assert isinstance(log, str)
    assert isinstance(root, str)
    rows += [
        {"name": name, "file": _metadata(field), "detail": f"checkpoint.{word}"}
        for name, field, word in (
            ("object", {"log": log}, "structure"),
            ("two-fields", [log, size], "structure"),
            ("size-of-no-block", [log, 511, root], "size"),
            ("size-zero", [log, 0, root], "size"),
            ("size-as-text", [log, "512", root], "size"),
            ("size-true", [log, True, root], "size"),
            ("log-in-capitals", [log.upper(), size, root], "log"),
            ("log-short", [log[2:], size, root], "log"),
            ("root-long", [log, size, root + "00"], "root"),
        )
    ]
    return rows


def proofs() -> list[dict[str, Any]]:
    """Signed proofs, the two checkpoints that each is about, and whether it joins them."""
    rewritten = MemoryLog("vectors", blocks=5)
    rewritten.rewrite(100)
    return [
        {
            "name": name,
            "cose": _signed(first, second, log).hex(),
            "public": HOME.public.hex(),
            "home": "31",
            "produced": rfc3339(NOW),
            "earlier": LOG.checkpoint(first).to_json(),
            "later": log.checkpoint(second).to_json(),
            "proves": log is LOG,
        }
        for name, first, second, log in (
            ("a-block", 256, 512, LOG),
            ("across", 512, 1280, LOG),
            ("uneven", 768, 1280, LOG),
            ("rewritten", 512, 1280, rewritten),
        )
    ]


def _signed(first: int, second: int, log: MemoryLog) -> bytes:
    path = tuple(log.consistency(log.log, first, second))
    question = GrowthQuestion(log.log, first, second)
    return sign_consistency(ConsistencyProof("31", question, path, NOW), HOME, REALM)


def malformed_proofs() -> Iterator[tuple[str, bytes, str]]:
    """Truly signed, so only the named rule is broken."""
    path = list(LOG.consistency(LOG.log, 512, 1280))
    good = [1, LOG.log, 512, 1280, path]

    def payload(fields: object, **claims: object) -> bytes:
        return cbor.encode({1: claims.get("home", "31"), 6: claims.get("at", NOW), -65541: fields})

    for name, data, word in (
        ("claim-missing", cbor.encode({1: "31", 6: NOW}), "keys"),
        ("home-of-three", payload(good, home="310"), "home"),
        ("time-negative", payload(good, at=-1), "time"),
        ("four-elements", payload(good[:4]), "structure"),
        ("version-2", payload([2, *good[1:]]), "version"),
        ("log-of-15", payload([1, LOG.log[1:], *good[2:]]), "log"),
        ("size-of-no-block", payload([1, LOG.log, 500, *good[3:]]), "size"),
        ("sizes-turned", payload([1, LOG.log, 1280, 512, path]), "size"),
        ("hash-of-31", payload([*good[:4], [path[0][1:]]]), "path"),
        ("65-hashes", payload([*good[:4], [path[0]] * 65]), "path"),
    ):
        yield name, sign1(data, HOME, Context.AUDIT, REALM), f"growth.{word}"


def document() -> dict[str, Any]:
    """The content of checkpoints.json, beside realm and time."""
    assert json.loads(_metadata(None))["signed"]["version"] == 7
    return {
        "live_metadata": live_metadata(),
        "proofs": proofs(),
        "malformed_proofs": [
            {"name": name, "cose": data.hex(), "detail": detail} for name, data, detail in malformed_proofs()
        ],
    }
