"""Makes examples/holders.ndjson: 1,000 invented people. Their ids are valid, but of areas that do not exist (3199NN).

python -m examples.holders [--check]     writes the file; with --check, fails when it differs
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from healthcode.identity.document import resident_id_check_digit

SEED = "healthcode example holders 1"
COUNT = 1_000
PATH = Path(__file__).with_name("holders.ndjson")

FIRST_BIRTH = date(1936, 1, 1)
LAST_BIRTH = date(2019, 12, 31)
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰文建国志晨雨欣宇浩子涵梓轩思佳琪"


@dataclass(frozen=True, slots=True)
class Holder:
    """One line of the file, as `province-node issue --file` reads it."""

    document_type: str
    number: str
    name: str


class Draw:
    """Numbers drawn from a hash, the same on every machine: `draw.below(n)` is the next one in 0..n-1."""

    def __init__(self, label: str) -> None:
        self._stream = int.from_bytes(hashlib.sha256(f"{SEED}/{label}".encode()).digest(), "big")

    def below(self, limit: int) -> int:
        self._stream, drawn = divmod(self._stream, limit)
        return drawn


def holder(position: int) -> Holder:
    """The holder at `position`: always the same."""
    draw = Draw(f"{position:04d}")
    area = f"3199{1 + draw.below(99):02d}"
    birth = FIRST_BIRTH + timedelta(days=draw.below((LAST_BIRTH - FIRST_BIRTH).days + 1))
    first17 = f"{area}{birth:%Y%m%d}{1 + draw.below(999):03d}"
    given = "".join(GIVEN[draw.below(len(GIVEN))] for _ in range(1 + draw.below(2)))
    return Holder(
        document_type="10",
        number=first17 + resident_id_check_digit(first17),
        name=SURNAMES[draw.below(len(SURNAMES))] + given,
    )


def holders() -> Iterator[Holder]:
    """All holders. No number occurs twice."""
    seen: set[str] = set()
    position = 0
    while len(seen) < COUNT:
        drawn = holder(position)
        position += 1
        if drawn.number not in seen:
            seen.add(drawn.number)
            yield drawn


def text() -> str:
    """The content of the file: one JSON object a line."""
    return "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in holders())


def main() -> int:
    if "--check" in sys.argv[1:]:
        if PATH.read_text(encoding="utf-8") == text():
            return 0
        print(f"{PATH} is not what the script makes; run: python -m examples.holders", file=sys.stderr)
        return 1
    PATH.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
