"""The migration from releases that kept whole answers: it reads the facts out of them and drops the texts."""

from __future__ import annotations

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message import Message

from healthcode.errors import DecodeError, Reason
from healthcode.storage.sqlite import Session
from healthcode.v1 import province_issuer_pb2
from healthcode.wire.base45 import decode_base45
from healthcode.wire.code import decode_cose_code
from province_node.store.facts import hash_text, pack_items, pack_killed, pack_revoked
from province_node.store.records import CodeFacts, HolderTag, ItemFacts, Killed, RefusalFacts, Revoked

__all__ = ["keep_facts_of_answers"]

_PREFIXES = ("CNHC1:", "CNHT1:")
_PAGE = 500


def keep_facts_of_answers(db: Session) -> None:
    """Moves every row of `old_request` to `request` and `request_part`, then drops the table."""
    caller, request_id = "", ""
    while rows := db.all(
        "SELECT caller, request_id, digest, response, expires_at FROM old_request"
        " WHERE (caller, request_id) > (?, ?) ORDER BY caller, request_id LIMIT ?",
        (caller, request_id, _PAGE),
    ):
        for caller, request_id, digest, response, expires_at in rows:
            found = _read_answer(response)
            if found is None:
                continue  # without its answer, an id is free: at worst a code is issued twice
            method, signed_at, facts = found
            db.execute(
                "INSERT INTO request (caller, request_id, method, digest, expires_at) VALUES (?, ?, ?, ?, ?)",
                (caller, request_id, method, digest, expires_at),
            )
            db.execute("INSERT INTO request_part VALUES (last_insert_rowid(), 0, ?, ?)", (signed_at, facts))
    db.execute("DROP TABLE old_request")


def _read_answer(data: bytes) -> tuple[str, int, bytes] | None:
    """(method, time of signing, facts) of an answer. The old table does not name its method, so its content tells."""
    one = province_issuer_pb2.IssueCodeResponse()
    if _parse(one, data) and one.issued.code.startswith(_PREFIXES):
        return "IssueCode", one.issued.issued_at.seconds, pack_items({0: _code_facts(one.issued)})
    many = province_issuer_pb2.IssueCodesResponse()
    if _parse(many, data) and many.results and all(_is_result(result) for result in many.results):
        items = {position: _item_facts(result) for position, result in enumerate(many.results)}
        signed_at = max(result.issued.issued_at.seconds for result in many.results)
        return "IssueCodes", signed_at, pack_items(items)
    kill = province_issuer_pb2.KillKeyResponse()
    if _parse(kill, data) and (kill.next_kid or kill.already_killed):
        next_kid = bytes.fromhex(kill.next_kid) or None
        return "KillKey", 0, pack_killed(Killed(kill.codes_out, kill.already_killed, next_kid))
    # revocations, and kills without a next key: their counts are packed alike
    revoke = province_issuer_pb2.RevokeCodesResponse()
    if not _parse(revoke, data):
        return None
    return "", 0, pack_revoked(Revoked(revoke.newly_revoked, revoke.already_revoked))


def _parse(message: Message, data: bytes) -> bool:
    """Whether `data` is such a message and nothing else."""
    try:
        message.ParseFromString(data)
    except ProtobufError:
        return False
    return message.SerializeToString(deterministic=True) == _without_unknown(message)


def _without_unknown(message: Message) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)


def _is_result(result: province_issuer_pb2.IssueResult) -> bool:
    return bool(result.refused_reason) or result.issued.code.startswith(_PREFIXES)


def _item_facts(result: province_issuer_pb2.IssueResult) -> ItemFacts:
    return (
        RefusalFacts(Reason(result.refused_reason)) if result.refused_reason else _code_facts(result.issued)
    )


def _code_facts(issued: province_issuer_pb2.IssuedCode) -> ItemFacts:
    try:
        claims = decode_cose_code(decode_base45(issued.code[len(_PREFIXES[0]) :])).claims
    except DecodeError:
        return RefusalFacts(Reason.CODE_NOT_REPEATABLE)
    if claims.salt is None or claims.tag is None:
        return RefusalFacts(Reason.CODE_NOT_REPEATABLE)
    return CodeFacts(
        index=claims.index,
        kid=bytes.fromhex(issued.kid),
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        level=claims.level,
        rule=claims.rule,
        tag=HolderTag(salt=claims.salt, tag=claims.tag),
        text_hash=hash_text(issued.code),
    )
