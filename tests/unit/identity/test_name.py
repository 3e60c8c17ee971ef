"""Masked names: short, normalised, and never the whole name."""

import unicodedata

import pytest

from healthcode.errors import InvalidInputError
from healthcode.identity.name import NAME_RANGES, is_masked_name, mask_name


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("张小三", "张*三"),
        ("张三", "张*"),
        ("张", "*"),
        ("欧阳小三", "欧*三"),
        ("买买提·艾合买提", "买*提"),
        ("Anna Schmidt", "A*t"),
        ("  张小三 ", "张*三"),
        ("Ame\u0301lie", "A*e"),
        ("E\u0301va", "É*a"),
        ("𠀀𠀁𠀂", "𠀀*𠀂"),
        ("\U0002ebf0小三", "\U0002ebf0*三"),
        ("བསྟན་འཛིན", "བ*ན"),
        ("\ue000小三", "*三"),
        ("张小\ue000", "张*"),
        ("张小3", "张*"),
        ("***", "*"),
        # format characters: between letters, and stuck to a name by a paste
        ("\u1828\u1820\u180e\u1837\u1820", "\u1828*\u1820"),
        ("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0639*\u0627"),
        ("\ufeff张小三", "张*三"),
        ("\ufeff 张小三\u200b", "张*三"),
        ("张小三\u200f", "张*三"),
        ("张\u202e三", "张*"),
    ],
)
def test_names_are_masked(name, masked):
    """First and last character stay, whatever the script, and one star stands for the rest."""
    assert mask_name(name) == masked
    assert len(masked.encode()) <= 9


@pytest.mark.parametrize("name", ["", "   ", "\u0301", "张\n三", "\u200c\ufeff", "x" * 129, "\ud800x"])
def test_what_is_no_name_is_refused_without_repeating_it(name):
    """Empty, over-long and control characters are typed errors that name the field only."""
    with pytest.raises(InvalidInputError) as caught:
        mask_name(name)
    assert set(caught.value.fields) == {"name"}
    assert "三" not in caught.value.message


def test_the_table_rests_on_no_version_of_unicode() -> None:
    """No mark, nothing unseen, nothing that form C changes; what an older Python does not know is a Han character."""
    for first, last in NAME_RANGES:
        for number in range(first, last + 1):
            character = chr(number)
            kind = unicodedata.category(character)
            assert kind[0] not in "MC" or (kind == "Cn" and number >= 0x20000), f"{number:x}"
            assert unicodedata.combining(character) == 0
            assert unicodedata.is_normalized("NFC", character)


@pytest.mark.parametrize(
    "text", ["", "张三", "张*\u0301", "*\u1100", "*\U00010efd", "*3", "*\n", "\ufeff*", "*\ud800"]
)
def test_what_is_no_masked_name(text: str) -> None:
    """Without a star, or with anything that is not in the table."""
    assert not is_masked_name(text)
