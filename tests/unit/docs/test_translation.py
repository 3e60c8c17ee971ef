"""The Chinese edition of docs/operating.md: it keeps up with the English page."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(?:ba)?sh\n.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
# an option, command, file, metric or log event in backquotes; a reason or verdict in capitals
NAME = re.compile(r"`([^`\n]+)`|\b([A-Z]+(?:_[A-Z]+)+)\b")


def both_pages() -> tuple[str, str]:
    """The English page and the Chinese one."""
    english, chinese = DOCS / "operating.md", DOCS / "operating.zh-CN.md"
    return english.read_text(encoding="utf-8"), chinese.read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its command blocks, whose comments would look like headings."""
    return BLOCK.sub("", page)


def test_every_command_block_is_the_same_in_both_pages() -> None:
    """Both readers type the same, in the same order; a block that differs is named by its heading."""
    english_page, chinese_page = both_pages()
    for english, chinese in zip_longest(BLOCK.finditer(english_page), BLOCK.findall(chinese_page)):
        assert english is not None, f"only operating.zh-CN.md has\n{chinese}"
        heading = HEADING.findall(prose(english_page[: english.start()]))[-1][1]
        assert chinese == english.group(), f"operating.zh-CN.md differs from operating.md under “{heading}”"


def test_both_pages_have_the_same_headings() -> None:
    """As many headings, of the same levels, in the same order."""
    english, chinese = ([marks for marks, _ in HEADING.findall(prose(page))] for page in both_pages())
    assert chinese == english


def test_every_name_of_the_english_page_is_in_the_chinese_one() -> None:
    """An option, metric, log event or reason that the English prose gains is told of in Chinese too."""
    english, chinese = ({"".join(name) for name in NAME.findall(prose(page))} for page in both_pages())
    assert english - chinese == set()


def test_both_readmes_name_the_same_commands() -> None:
    """The table of commands has the same programs and subcommands."""
    rows = [
        [(line.split("|")[1], line.split("|")[3]) for line in page.splitlines() if line.startswith("| `")]
        for page in (
            (DOCS.parent / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
        )
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 4
