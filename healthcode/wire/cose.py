"""COSE_Sign1 (RFC 9052) in our one shape: 18([<<{1: alg, 4: kid}>>, {}, payload, signature]).

alg and kid are hints: the key registered for (issuer, kid) decides (docs/wire-format.md 2.3).
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
    """The kind of a signed message. It is part of the signature's external data."""

    CODE = "code"
    ANSWER = "answer"
    QUESTION = "question"
    AUDIT = "audit"
    AUTHORITY_LINK = "authority-link"
    POSSESSION = "possession"
    JOIN = "join"
    SEALING = "sealing"
    OFFICERS = "officers"
    OFFICER_ACT = "officer-act"


class Sign1(NamedTuple):
    """A decoded message. Its signature is not verified yet."""

    alg: int
    kid: bytes
    payload: bytes
    signature: bytes
    protected: bytes

    def __repr__(self) -> str:
        """Shows no content, because a repr may reach a log."""
        return f"Sign1(alg={self.alg}, kid={self.kid.hex()})"


# every Ed25519 message begins with 18([h'A2 01 32 04 48, then comes its kid
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
    """The external data. A signature of one kind or realm is not valid for another."""
    return f"healthcode/1/{context}/{realm}".encode()


def sign1(payload: bytes, key: PrivateKey, context: Context, realm: Realm) -> bytes:
    """Returns `payload` as a COSE_Sign1 under `key`."""
    protected = _HEAD[3:] + kid(key.public)
    signature = key.sign(_to_be_signed(protected, payload, context, realm))
    return b"".join((b"\xd2\x84\x4d", protected, b"\xa0", _bstr(payload), _SIGNATURE_HEAD, signature))


def decode_sign1(data: bytes, *, max_bytes: int = MAX_BYTES) -> Sign1:
    """Decodes a COSE_Sign1. Does not verify its signature.

    Raises DecodeError: those of cbor.decode, and cose.tag, cose.structure,
    cose.protected, cose.alg, cose.kid, cose.unprotected, cose.payload, cose.signature.
    """
    size = len(data)
    # fast path: nearly every message has this shape; the slow path names what differs
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
    """Whether the signature is valid under `public`, for this kind of message and realm.

    Always checks Ed25519. The caller compares `message.alg` with the registered key's first.
    """
    signed = _to_be_signed(message.protected, message.payload, context, realm)
    return verify(public, signed, message.signature)


def sign_detached(payload: bytes, key: PrivateKey, context: Context, realm: Realm) -> bytes:
    """Returns a signature of 64 bytes that travels beside `payload` (possession, handover).

    It signs a Sig_structure with an empty protected header.
    """
    return key.sign(_to_be_signed(b"", payload, context, realm))


def verify_detached(payload: bytes, signature: bytes, public: bytes, context: Context, realm: Realm) -> bool:
    """Whether a signature made by `sign_detached` is valid under `public`."""
    return verify(public, _to_be_signed(b"", payload, context, realm), signature)


def _to_be_signed(protected: bytes, payload: bytes, context: Context, realm: Realm) -> bytes:
    return _sig_structure(protected, external_aad(context, realm), payload)


def _sig_structure(protected: bytes, external: bytes, payload: bytes) -> bytes:
    """The signed bytes: the Sig_structure of RFC 9052 section 4.4, for Signature1."""
    return b"".join((b"\x84\x6aSignature1", _bstr(protected), _bstr(external), _bstr(payload)))


def _bstr(data: bytes) -> bytes:
    size = len(data)
    if size < 24:
        return b"%c%b" % (0x40 | size, data)
    if size < 0x100:
        return b"\x58%c%b" % (size, data)
    return cbor.encode(data)


def _payload_start(field: bytes) -> int:
    """Where the content of the byte string `field` begins; 0 when its head is not minimal or not exact."""
    size = len(field)
    if field[0] == 0x58 and field[1] >= 24 and size == 2 + field[1]:
        return 2
    if 0x40 <= field[0] < 0x58 and size == 1 + (field[0] & 0x1F):
        return 1
    return 0


def _decode_slowly(data: bytes, max_bytes: int) -> Sign1:
    if len(data) > max_bytes:
        raise DecodeError(
            "cbor.too_large", f"the COSE message has {len(data)} bytes, at most {max_bytes} are allowed"
        )
    if not data:
        raise DecodeError("cbor.truncated", "the COSE message is empty")
    if data[0] != _TAG_18:
        raise DecodeError("cose.tag", "a COSE message begins with tag 18, in one byte")
    fields = cbor.parse(data[1:], max_bytes=max_bytes, max_depth=_MAX_DEPTH)
    # the cheap checks come first, so that bad input costs little
    if type(fields) is not list or len(fields) != 4:
        raise DecodeError("cose.structure", "a COSE_Sign1 is an array of four elements")
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
            "cose.protected", "the protected header contains alg (1) and kid (4), and nothing else"
        )
    alg, key_id = header[1], header[4]
    if type(alg) is not int:
        raise DecodeError("cose.alg", "alg is an integer")
    if type(key_id) is not bytes or len(key_id) != KID_BYTES:
        raise DecodeError("cose.kid", f"kid is {KID_BYTES} bytes")
    cbor.decode(protected, max_bytes=len(protected), max_depth=1)
    return alg, key_id
