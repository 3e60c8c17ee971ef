"""COSE_Sign1 (RFC 9052), in the one shape that every signed message of ours has.

    18([ << {1: alg, 4: kid} >>, {}, payload, signature ])

alg is −19 (Ed25519, RFC 9864) and kid 8 bytes; both are hints. Trust is by issuer
and kid, and the algorithm is the registered key's, never the message's. Tag 18 is
demanded, tag 61 and all others refused; no other header may stand; the signature
is 64 bytes.

The external data of each signature is `healthcode/1/<context>/<realm>`, so that no
signature of one kind or realm is ever good for another.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from healthcode.errors import DecodeError
from healthcode.identity.realm import Realm
from healthcode.signing.ed25519 import KID_BYTES, SIGNATURE_BYTES, PrivateKey, kid, verify
from healthcode.wire import cbor

__all__ = [
    "ALG_ED25519",
    "MAX_BYTES",
    "Context",
    "Sign1",
    "decode_sign1",
    "external_aad",
    "sign1",
    "sign_detached",
    "verify_detached",
    "verify_sign1",
]

ALG_ED25519 = -19
MAX_BYTES = 1024


class Context(StrEnum):
    """What a signature is of; a part of its external data."""

    CODE = "code"
    ANSWER = "answer"
    QUESTION = "question"
    AUDIT = "audit"
    AUTHORITY_LINK = "authority-link"
    POSSESSION = "possession"
    JOIN = "join"
    SEALING = "sealing"


class Sign1(NamedTuple):
    """A decoded message, whose signature nobody has looked at yet."""

    alg: int
    kid: bytes
    payload: bytes
    signature: bytes
    protected: bytes

    def __repr__(self) -> str:
        """Nothing of the content, since a repr may end in a log."""
        return f"Sign1(alg={self.alg}, kid={self.kid.hex()})"


# 18([h'A2 01 32 04 48 …': what every Ed25519 message begins with, up to its kid
_HEAD = b"\xd2\x84\x4d\xa2\x01\x32\x04\x48"
_PROTECTED = slice(3, 16)
_KID = slice(8, 16)
_UNPROTECTED = 16
_PAYLOAD = 17
_TAIL = SIGNATURE_BYTES + 2
_SIGNATURE_HEAD = b"\x58\x40"
_TAG_18 = 0xD2
_MAX_DEPTH = 2


def external_aad(context: Context, realm: Realm) -> bytes:
    """The external data that separates kinds of message and realms."""
    return f"healthcode/1/{context}/{realm}".encode()


def sign1(payload: bytes, key: PrivateKey, context: Context, realm: Realm) -> bytes:
    """The COSE_Sign1 of `payload` under `key`."""
    protected = _HEAD[3:] + kid(key.public)
    signature = key.sign(_to_be_signed(protected, payload, context, realm))
    return b"".join((b"\xd2\x84\x4d", protected, b"\xa0", _bstr(payload), _SIGNATURE_HEAD, signature))


def decode_sign1(data: bytes, *, max_bytes: int = MAX_BYTES) -> Sign1:
    """Takes a COSE_Sign1 apart without looking at its signature.

    Raises DecodeError: those of cbor.decode, and cose.tag, cose.structure,
    cose.protected, cose.alg, cose.kid, cose.unprotected, cose.payload, cose.signature.
    """
    size = len(data)
    # the shape of nearly every message there is; whatever differs is named by the slow way
    if size <= max_bytes and data.startswith(_HEAD) and data[-_TAIL : 2 - _TAIL] == _SIGNATURE_HEAD:
        payload = data[_PAYLOAD:-_TAIL]
        if data[_UNPROTECTED] == 0xA0 and len(payload) > 1:
            start = _payload_start(payload)
            if start:
                return Sign1(
                    ALG_ED25519, data[_KID], payload[start:], data[-SIGNATURE_BYTES:], data[_PROTECTED]
                )
    return _decode_slowly(data, max_bytes)


def verify_sign1(message: Sign1, public: bytes, context: Context, realm: Realm) -> bool:
    """Whether the signature holds under `public`, for this kind of message in this realm.

    The algorithm is Ed25519 whatever the message says; compare `message.alg` with
    the registered key's before.
    """
    signed = _to_be_signed(message.protected, message.payload, context, realm)
    return verify(public, signed, message.signature)


def sign_detached(payload: bytes, key: PrivateKey, context: Context, realm: Realm) -> bytes:
    """The 64 bytes of a signature that travels beside `payload` (proofs of possession, handovers).

    It is the signature of the Sig_structure with an empty protected header.
    """
    return key.sign(_to_be_signed(b"", payload, context, realm))


def verify_detached(payload: bytes, signature: bytes, public: bytes, context: Context, realm: Realm) -> bool:
    """Whether a signature by `sign_detached` holds under `public`."""
    return verify(public, _to_be_signed(b"", payload, context, realm), signature)


def _to_be_signed(protected: bytes, payload: bytes, context: Context, realm: Realm) -> bytes:
    return _sig_structure(protected, external_aad(context, realm), payload)


def _sig_structure(protected: bytes, external: bytes, payload: bytes) -> bytes:
    """What is signed: the Sig_structure of RFC 9052 section 4.4, for Signature1."""
    return b"".join((b"\x84\x6aSignature1", _bstr(protected), _bstr(external), _bstr(payload)))


def _bstr(data: bytes) -> bytes:
    size = len(data)
    if size < 24:
        return b"%c%b" % (0x40 | size, data)
    if size < 0x100:
        return b"\x58%c%b" % (size, data)
    return cbor.encode(data)


def _payload_start(field: bytes) -> int:
    """Where the content of the byte string `field` begins, or 0 when its head is not minimal or not exact."""
    size = len(field)
    if field[0] == 0x58 and field[1] >= 24 and size == 2 + field[1]:
        return 2
    if 0x40 <= field[0] < 0x58 and size == 1 + (field[0] & 0x1F):
        return 1
    return 0


def _decode_slowly(data: bytes, max_bytes: int) -> Sign1:
    if len(data) > max_bytes:
        raise DecodeError("cbor.too_large", f"{len(data)} bytes of COSE where at most {max_bytes} may stand")
    if not data:
        raise DecodeError("cbor.truncated", "there is no COSE message at all")
    if data[0] != _TAG_18:
        raise DecodeError("cose.tag", "a COSE message begins with tag 18 in one byte, and with no other")
    fields = cbor.parse(data[1:], max_bytes=max_bytes, max_depth=_MAX_DEPTH)
    # what is looked at first is what keeps the rest small, and so cheap to refuse
    if type(fields) is not list or len(fields) != 4:
        raise DecodeError("cose.structure", "a COSE_Sign1 is an array of four")
    protected, unprotected, payload, signature = fields
    if type(unprotected) is not dict or unprotected:
        raise DecodeError("cose.unprotected", "the unprotected header is an empty map")
    if type(protected) is not bytes:
        raise DecodeError("cose.protected", "the protected header is a byte string")
    if type(payload) is not bytes:
        raise DecodeError("cose.payload", "the payload is a byte string")
    if type(signature) is not bytes or len(signature) != SIGNATURE_BYTES:
        raise DecodeError("cose.signature", f"the signature is {SIGNATURE_BYTES} bytes")
    cbor.decode(data[1:], max_bytes=max_bytes, max_depth=_MAX_DEPTH)
    alg, key_id = _decode_header(protected)
    return Sign1(alg, key_id, payload, signature, protected)


def _decode_header(protected: bytes) -> tuple[int, bytes]:
    header = cbor.parse(protected, max_bytes=len(protected), max_depth=1)
    if type(header) is not dict or header.keys() != {1, 4}:
        raise DecodeError(
            "cose.protected", "the protected header holds alg (1) and kid (4), and nothing else"
        )
    alg, key_id = header[1], header[4]
    if type(alg) is not int:
        raise DecodeError("cose.alg", "alg is an integer")
    if type(key_id) is not bytes or len(key_id) != KID_BYTES:
        raise DecodeError("cose.kid", f"kid is {KID_BYTES} bytes")
    cbor.decode(protected, max_bytes=len(protected), max_depth=1)
    return alg, key_id
