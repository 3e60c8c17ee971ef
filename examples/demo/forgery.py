"""Forged codes, made with healthcode's own parts. None needs a secret that an attacker cannot have."""

from __future__ import annotations

from healthcode.identity.realm import code_prefix
from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire import cbor
from healthcode.wire.base45 import encode_base45
from healthcode.wire.claims import CodeClaims, Level, Presentation, encode_claims
from healthcode.wire.code import DecodedCode, decode_code, sign_code
from healthcode.wire.cose import Context, external_aad


def under_the_same_kid(text: str, realm: str) -> str:
    """The claims and kid of a genuine code, signed by a key of our own."""
    genuine = decode_code(text, realm).sign1
    to_be_signed = cbor.encode(
        ["Signature1", genuine.protected, external_aad(Context.CODE, realm), genuine.payload]
    )
    return _text(genuine.protected, genuine.payload, PrivateKey.generate().sign(to_be_signed), realm)


def painted_green(text: str, realm: str) -> str:
    """A genuine code of another level, changed to say GREEN under its old signature."""
    genuine: DecodedCode = decode_code(text, realm)
    payload = encode_claims(genuine.claims._replace(level=Level.GREEN))
    return _text(genuine.sign1.protected, payload, genuine.sign1.signature, realm)


def cut_short(text: str) -> str:
    """A code from a torn printout."""
    return text[: len(text) * 2 // 3 // 3 * 3]


def signed_for(issuer: str, realm: str, now: int) -> str:
    """A well-formed GREEN code under a key of our own, for any issuer in any realm."""
    claims = CodeClaims(
        issuer=issuer,
        issued_at=now,
        expires_at=now + 600,
        not_before=None,
        version=1,
        level=Level.GREEN,
        rule="R1",
        index=7,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=None,
        salt=None,
        name="张*三",
    )
    return sign_code(claims, PrivateKey.generate(), realm)


def _text(protected: bytes, payload: bytes, signature: bytes, realm: str) -> str:
    # 0xD2 is tag 18, COSE_Sign1
    message = b"\xd2" + cbor.encode([protected, {}, payload, signature])
    return code_prefix(realm) + encode_base45(message)
