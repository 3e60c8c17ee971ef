"""Masked names: 张小三 is 张*三, Anna Schmidt is A*t, 张三 is 张*, a name of one character is *.

One `*` replaces everything between the first and the last character (docs/wire-format.md 3.2).
"""

from __future__ import annotations

import re
import unicodedata

from healthcode.errors import InvalidInputError

__all__ = ["NAME_RANGES", "is_masked_name", "mask_name"]

_MAX_NAME_CHARACTERS = 128

# A fixed table, so that every version of Unicode reads the same codes (docs/wire-format.md 3.2). It has no marks, nothing
# invisible, and nothing that normalisation changes. Remove none of it: a new range is a new version of the format.
NAME_RANGES: tuple[tuple[int, int], ...] = (
    # space ' - . · ’ and Latin
    *((0x20, 0x20), (0x27, 0x27), (0x2D, 0x2E), (0x41, 0x5A), (0x61, 0x7A), (0xB7, 0xB7), (0xC0, 0xD6)),
    *((0xD8, 0xF6), (0xF8, 0x24F), (0x1E00, 0x1EFF), (0x2019, 0x2019)),
    # Greek, Cyrillic, Hebrew
    *((0x386, 0x386), (0x388, 0x38A), (0x38C, 0x38C), (0x38E, 0x3A1), (0x3A3, 0x3FF)),
    *((0x400, 0x482), (0x48A, 0x52F), (0x5D0, 0x5EA)),
    # Arabic, for Uyghur, Kazakh and Kyrgyz, too
    *((0x620, 0x64A), (0x66E, 0x66F), (0x671, 0x6D3), (0x6D5, 0x6D5), (0x6EE, 0x6EF), (0x6FA, 0x6FC)),
    (0x6FF, 0x6FF),
    # Thai, Georgian
    *((0xE01, 0xE30), (0x10D0, 0x10FA)),
    # Tibetan, without the letters that form C takes apart
    *((0xF00, 0xF00), (0xF0B, 0xF0C), (0xF40, 0xF42), (0xF44, 0xF47), (0xF49, 0xF4C), (0xF4E, 0xF51)),
    *((0xF53, 0xF56), (0xF58, 0xF5B), (0xF5D, 0xF68), (0xF6A, 0xF6C)),
    # Mongolian, Tai Le, New Tai Lue, Yi, Lisu, Miao
    *((0x1820, 0x1878), (0x1950, 0x196D), (0x1970, 0x1974), (0x1980, 0x19AB)),
    *((0xA000, 0xA48C), (0xA4D0, 0xA4FD), (0x16F00, 0x16F4A)),
    # 々 〆 〇, Kana, Hangul
    *((0x3005, 0x3007), (0x3041, 0x3096), (0x30A1, 0x30FE), (0xAC00, 0xD7A3)),
    # Han, and its extensions A to I
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B738), (0x2B740, 0x2B81D)),
    *((0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x2EBF0, 0x2EE5D), (0x30000, 0x3134A), (0x31350, 0x323AF)),
)

_CLASS = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in NAME_RANGES)
_KNOWN = re.compile(f"[{_CLASS}]")
_MASKED = re.compile(rf"[{_CLASS}]*\*[{_CLASS}*]*")


def is_masked_name(text: str) -> bool:
    """Whether `text` has a `*`, and otherwise only characters of the table."""
    return _MASKED.fullmatch(text) is not None


def mask_name(name: str) -> str:
    """The masked form of a full name: NFC, at most 9 bytes of UTF-8, always with a `*`.

    A first or last character that is not in the table is masked too. Combining marks and format characters (Cf)
    are left out. Raises InvalidInputError when `name` is empty, longer than 128 characters, or has control
    characters. The message never repeats the name.
    """
    # format characters join letters in Mongolian, Uyghur and Persian (U+180E, U+200C), and come with a paste (U+FEFF)
    bounded = name if len(name) <= _MAX_NAME_CHARACTERS else ""
    shown = "".join(character for character in bounded if unicodedata.category(character) != "Cf")
    text = unicodedata.normalize("NFC", shown.strip())
    # combining marks belong to the character before them
    letters = [character for character in text if not unicodedata.category(character).startswith("M")]
    if not letters or any(unicodedata.category(character) in {"Cc", "Cs"} for character in letters):
        raise InvalidInputError(
            f"a name has 1 to {_MAX_NAME_CHARACTERS} characters and no control characters",
            fields={"name": f"1 to {_MAX_NAME_CHARACTERS} characters, none of them a control character"},
        )
    if len(letters) == 1:
        return "*"
    first, last = (letter if _KNOWN.fullmatch(letter) else "" for letter in (letters[0], letters[-1]))
    return f"{first}*{last if len(letters) > 2 else ''}"
