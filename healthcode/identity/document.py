"""Identity documents: numbers are normalised and checked, so that one document has one spelling.

A number is in no message and no repr. Resident cards follow GB 11643 (check character: ISO 7064 MOD 11-2).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone
from enum import StrEnum
from types import MappingProxyType

from healthcode.clock import utc
from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.participant import PARTICIPANTS

__all__ = [
    "DocumentType",
    "IdentityDocument",
    "check_birth_date",
    "decode_document",
    "resident_id_check_digit",
]


class DocumentType(StrEnum):
    """The kinds of document, by their two digits on the wire."""

    RESIDENT_ID = "10"
    HK_MACAU_PERMIT = "14"
    TAIWAN_PERMIT = "15"
    TAIWAN_ONE_TIME_PERMIT = "16"
    PASSPORT = "20"
    FOREIGN_RESIDENT = "34"
    OTHER = "99"


@dataclass(frozen=True, slots=True)
class IdentityDocument:
    """A document with a normalised, valid number. Only `decode_document` makes one."""

    type: DocumentType
    number: str = field(repr=False)


# as their issuers print them; where no public text confirms a shape, it is wide on purpose
_SHAPES: Mapping[DocumentType, tuple[str, str]] = MappingProxyType(
    {
        DocumentType.RESIDENT_ID: (r"[0-9]{17}[0-9X]", "17 digits and a check character"),
        DocumentType.HK_MACAU_PERMIT: (r"[HM](?:[0-9]{8}|[0-9]{10})", "H or M and 8 or 10 digits"),
        DocumentType.TAIWAN_PERMIT: (r"[0-9]{8}|[0-9]{10}", "8 or 10 digits"),
        DocumentType.TAIWAN_ONE_TIME_PERMIT: (r"[A-Z0-9]{7,18}", "7 to 18 letters and digits"),
        DocumentType.PASSPORT: (r"[A-Z0-9]{5,17}", "5 to 17 letters and digits"),
        DocumentType.FOREIGN_RESIDENT: (
            r"[A-Z]{3}[0-9]{12}|9[0-9]{16}[0-9X]",
            "3 letters and 12 digits, or 18 characters that begin with 9",
        ),
        DocumentType.OTHER: (r"[A-Z0-9-]{4,32}", "4 to 32 letters, digits and hyphens"),
    }
)
_MAX_CHARACTERS = 64
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS = "10X98765432"
# GB/T 2260 provinces, and 83: residence permits of Taiwan residents (81 and 82 are provinces already)
_AREAS = frozenset(PARTICIPANTS) - {"00", "66"} | {"83"}
_FIRST_YEAR = 1800
_CHINA = timezone(timedelta(hours=8))


def decode_document(type_text: str, number_text: str) -> IdentityDocument:
    """The document that was typed or read.

    `type_text` is the two digits of the type. Raises InvalidInputError
    (DOCUMENT_INVALID), whose `fields` name the fault and never the value.
    """
    try:
        kind = DocumentType(_normalise(type_text))
    except ValueError:
        raise _refusal("document_type", "one of " + ", ".join(DocumentType)) from None
    number = _normalise(number_text)
    pattern, wanted = _SHAPES[kind]
    if re.fullmatch(pattern, number) is None:
        raise _refusal("number", wanted)
    if kind is DocumentType.RESIDENT_ID:
        _check_resident_id(number)
    return IdentityDocument(kind, number)


def check_birth_date(document: IdentityDocument, now: int) -> None:
    """Raises InvalidInputError (DOCUMENT_INVALID) if a resident card's birth date is after today in China.

    Not a part of `decode_document`: a verifier whose clock is wrong must still recognise the holder.
    """
    if document.type is not DocumentType.RESIDENT_ID:
        return
    if f"{utc(now).astimezone(_CHINA):%Y%m%d}" < document.number[6:14]:
        raise _refusal("number", "a birth date, digits 7 to 14, that is not in the future")


def resident_id_check_digit(first17: str) -> str:
    """The check character of a resident identity number (ISO 7064 MOD 11-2): 0 to 9, or X.

    Raises InvalidInputError unless `first17` is 17 ASCII digits.
    """
    if re.fullmatch(r"[0-9]{17}", first17) is None:
        raise _refusal("number", "17 digits before the check character")
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, first17, strict=True))
    return _CHECK_CHARACTERS[total % 11]


def _normalise(text: str) -> str:
    if len(text) > _MAX_CHARACTERS:
        return ""
    return "".join(unicodedata.normalize("NFKC", text).split()).upper()


def _check_resident_id(number: str) -> None:
    if number[:2] not in _AREAS:
        raise _refusal("number", "a province of GB/T 2260 in the first two digits")
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        raise _refusal("number", "an existing birth date in digits 7 to 14") from None
    if born.year < _FIRST_YEAR:
        raise _refusal("number", f"a birth year from {_FIRST_YEAR} in digits 7 to 10")
    if resident_id_check_digit(number[:17]) != number[17]:
        raise _refusal(
            "number", "a last character that agrees with the 17 before it: look for a typing error"
        )


def _refusal(field_name: str, wanted: str) -> InvalidInputError:
    return InvalidInputError(
        f"the identity document's {field_name} is not valid: wanted {wanted}",
        reason=Reason.DOCUMENT_INVALID,
        fields={field_name: wanted},
    )
