"""The text of a code: a prefix, then Base45 of a COSE_Sign1 over claims (docs/wire-format.md 3)."""

from __future__ import annotations

from typing import NamedTuple

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.identity.realm import Realm, code_prefix
from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire.base45 import decode_base45, encode_base45
from healthcode.wire.claims import CodeClaims, decode_claims, encode_claims
from healthcode.wire.cose import Context, Sign1, decode_sign1, sign1
from healthcode.wire.scan import PREFIXES, scan_fault

__all__ = [
    "MAX_CHARACTERS",
    "MAX_ISSUED_CHARACTERS",
    "DecodedCode",
    "decode_code",
    "decode_cose_code",
    "sign_code",
]

MAX_CHARACTERS = 2048
MAX_ISSUED_CHARACTERS = 262  # QR version 9 at error correction level M
_PREFIX_CHARACTERS = 6


class DecodedCode(NamedTuple):
    """A decoded code. Its signature is not verified yet.

    `cose` is what a question carries. An answer names its SHA-256.
    """

    claims: CodeClaims
    sign1: Sign1
    cose: bytes

    def __repr__(self) -> str:
        """Shows no content, because a repr may reach a log."""
        return f"DecodedCode({self.claims!r}, {self.sign1!r})"


def sign_code(claims: CodeClaims, key: PrivateKey, realm: Realm) -> str:
    """Returns the text of a new code, for a QR in alphanumeric mode.

    Raises InvalidInputError when the claims break a rule of the format, or when the text is
    too long for QR version 9 at level M.
    """
    message = sign1(encode_claims(claims), key, Context.CODE, realm)
    text = code_prefix(realm) + encode_base45(message)
    if len(text) > MAX_ISSUED_CHARACTERS:
        raise InvalidInputError(
            f"the code has {len(text)} characters and may have {MAX_ISSUED_CHARACTERS}: shorten the rule's id"
        )
    return text


def decode_code(text: str, realm: Realm) -> DecodedCode:
    """Decodes a text strictly, from the outside in.

    Raises DecodeError at the first broken rule: code.too_long, code.prefix, code.other_realm, and
    those of base45, cose, cbor and claims. Where only `clean_scan` was left out: code.scanner_prefix,
    code.white_space, code.lower_case.
    """
    try:
        return _decode(text, realm)
    except DecodeError as error:
        fault = scan_fault(text) if len(text) <= MAX_CHARACTERS else None
        raise error if fault is None else fault from None


def _decode(text: str, realm: Realm) -> DecodedCode:
    if len(text) > MAX_CHARACTERS:
        raise DecodeError(
            "code.too_long", f"a code has at most {MAX_CHARACTERS} characters, this text has {len(text)}"
        )
    if not text.startswith(code_prefix(realm)):
        if text.startswith(PREFIXES):
            raise DecodeError("code.other_realm", f"the code is of another realm than {realm}")
        raise DecodeError("code.prefix", f"a code of realm {realm} begins with {code_prefix(realm)}")
    return decode_cose_code(decode_base45(text[_PREFIX_CHARACTERS:]))


def decode_cose_code(data: bytes) -> DecodedCode:
    """Decodes the COSE bytes alone, as a question carries them. Raises DecodeError."""
    message = decode_sign1(data)
    return DecodedCode(decode_claims(message.payload), message, data)
