"""Masked names: enough to see beside a card that code and card belong together, and no more.

One rule for every script: the first and the last character stay, and one `*`
stands for all between them, however many (张小三 is 张*三, Anna Schmidt is A*t).
Of a name of two characters only the first stays (张*), of one character none (*).
Combining marks count as part of what they stand on and are left out.
"""

from __future__ import annotations

import unicodedata

from healthcode.errors import InvalidInputError

__all__ = ["mask_name"]

_MAX_NAME_CHARACTERS = 128


def mask_name(name: str) -> str:
    """The masked form of a full name: NFC, at most 9 bytes of UTF-8, always with a `*`.

    Raises InvalidInputError when `name` is empty, longer than 128 characters, or
    holds control characters. The message never repeats the name.
    """
    text = unicodedata.normalize("NFC", name.strip()) if len(name) <= _MAX_NAME_CHARACTERS else ""
    letters = [character for character in text if not unicodedata.category(character).startswith("M")]
    if not letters or any(unicodedata.category(character).startswith("C") for character in letters):
        raise InvalidInputError(
            f"a name has 1 to {_MAX_NAME_CHARACTERS} characters and no control characters",
            fields={"name": f"1 to {_MAX_NAME_CHARACTERS} characters, none of them a control character"},
        )
    if len(letters) == 1:
        return "*"
    return f"{letters[0]}*{letters[-1] if len(letters) > 2 else ''}"
