"""What a scanner, a keyboard or a paste adds to a code, and the one way to take it away (docs/wire-format.md 3)."""

from __future__ import annotations

import re
import string

from healthcode.errors import DecodeError
from healthcode.identity.realm import PRODUCTION, code_prefix

__all__ = ["PREFIXES", "clean_scan", "is_code", "scan_fault"]

# CNHC1: in the realm cn, CNHT1: in every test realm
PREFIXES = (code_prefix(PRODUCTION), code_prefix("test-any"))
# C0 controls (STX and ETX around a scan, TAB, CR LF), DEL, a byte order mark, a zero width space
_UNSEEN = dict.fromkeys([*range(0x20), 0x7F, 0xFEFF, 0x200B])
# ASCII alone: str.upper would make letters of a code out of others (ı → I)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
# the symbology identifier of a QR code (ISO/IEC 15424)
_SCANNER_PREFIX = re.compile(r"\][Qq][0-9]")


def clean_scan(text: str) -> str:
    """A code as it was printed: without control characters, white space around it, and a scanner's `]Q1`; in capitals.

    No well-formed code has any of these, so cleaning never makes another code of one. Use it once, where a scan or a
    paste comes in; decoders refuse what it would change. A text that does not become a code comes back as it is.
    """
    bare = text.translate(_UNSEEN).strip()
    if bare[:1] == "]":
        bare = _SCANNER_PREFIX.sub("", bare, count=1).lstrip()
    clean = bare.translate(_UPPER)
    return clean if is_code(clean) else text


def is_code(text: str) -> bool:
    """Whether a text begins as the health codes of any realm do."""
    return text.startswith(PREFIXES)


def scan_fault(text: str) -> DecodeError | None:
    """The error for a code that `clean_scan` would change; None for any other text."""
    if clean_scan(text) == text:
        return None
    bare = text.translate(_UNSEEN).strip()
    if bare[:1] == "]":
        return DecodeError(
            "code.scanner_prefix", "the scanner adds its prefix (]Q1) to the code: switch it off"
        )
    if bare != text:
        return DecodeError("code.white_space", "white space or control characters were added to the code")
    return DecodeError("code.lower_case", "the code has small letters: the scanner or keyboard changed them")
