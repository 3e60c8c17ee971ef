"""Masked names: short, normalised, and never the whole name."""

import pytest

from healthcode.errors import InvalidInputError
from healthcode.identity.name import mask_name


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
    ],
)
def test_names_are_masked(name, masked):
    """First and last character stay, whatever the script, and one star stands for the rest."""
    assert mask_name(name) == masked
    assert len(masked.encode()) <= 9


@pytest.mark.parametrize("name", ["", "   ", "\u0301", "张\n三", "张\u202e三", "x" * 129, "\ud800x"])
def test_what_is_no_name_is_refused_without_repeating_it(name):
    """Empty, over-long and control characters are typed errors that name the field only."""
    with pytest.raises(InvalidInputError) as caught:
        mask_name(name)
    assert set(caught.value.fields) == {"name"}
    assert "三" not in caught.value.message
