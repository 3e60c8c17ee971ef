"""The participants of the federation, by their two-digit code: the provinces of GB/T 2260, 00 and 66.

00 is the national platform, 66 the Xinjiang Production and Construction Corps. 90 to 99 are for tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from healthcode.errors import InvalidInputError, NotFoundError, Reason
from healthcode.identity.realm import Realm, is_test_realm

__all__ = [
    "NATIONAL_PLATFORM",
    "PARTICIPANTS",
    "Participant",
    "check_member",
    "is_test_participant",
    "may_join",
    "participant",
]

NATIONAL_PLATFORM = "00"


@dataclass(frozen=True, slots=True)
class Participant:
    """One participant: its code, its two letters, and its name in English and Chinese."""

    code: str
    iso: str
    english: str
    chinese: str


# letters as in ISO 3166-2:CN; CN and BT are ours
_ROWS = (
    ("00", "CN", "National platform", "国家平台"),
    ("11", "BJ", "Beijing", "北京"),
    ("12", "TJ", "Tianjin", "天津"),
    ("13", "HE", "Hebei", "河北"),
    ("14", "SX", "Shanxi", "山西"),
    ("15", "NM", "Inner Mongolia", "内蒙古"),
    ("21", "LN", "Liaoning", "辽宁"),
    ("22", "JL", "Jilin", "吉林"),
    ("23", "HL", "Heilongjiang", "黑龙江"),
    ("31", "SH", "Shanghai", "上海"),
    ("32", "JS", "Jiangsu", "江苏"),
    ("33", "ZJ", "Zhejiang", "浙江"),
    ("34", "AH", "Anhui", "安徽"),
    ("35", "FJ", "Fujian", "福建"),
    ("36", "JX", "Jiangxi", "江西"),
    ("37", "SD", "Shandong", "山东"),
    ("41", "HA", "Henan", "河南"),
    ("42", "HB", "Hubei", "湖北"),
    ("43", "HN", "Hunan", "湖南"),
    ("44", "GD", "Guangdong", "广东"),
    ("45", "GX", "Guangxi", "广西"),
    ("46", "HI", "Hainan", "海南"),
    ("50", "CQ", "Chongqing", "重庆"),
    ("51", "SC", "Sichuan", "四川"),
    ("52", "GZ", "Guizhou", "贵州"),
    ("53", "YN", "Yunnan", "云南"),
    ("54", "XZ", "Tibet", "西藏"),
    ("61", "SN", "Shaanxi", "陕西"),
    ("62", "GS", "Gansu", "甘肃"),
    ("63", "QH", "Qinghai", "青海"),
    ("64", "NX", "Ningxia", "宁夏"),
    ("65", "XJ", "Xinjiang", "新疆"),
    ("66", "BT", "Xinjiang Production and Construction Corps", "兵团"),
    ("71", "TW", "Taiwan", "台湾"),
    ("81", "HK", "Hong Kong", "香港"),
    ("82", "MO", "Macau", "澳门"),
)

PARTICIPANTS: Mapping[str, Participant] = MappingProxyType({row[0]: Participant(*row) for row in _ROWS})
"""The 36 real participants, without those for tests."""


def is_test_participant(code: str) -> bool:
    """Whether `code` is one of 90 to 99."""
    return len(code) == 2 and code[0] == "9" and "0" <= code[1] <= "9"


def participant(code: str) -> Participant:
    """The participant `code`, real or for tests. Raises NotFoundError (PARTICIPANT_UNKNOWN)."""
    known = PARTICIPANTS.get(code)
    if known is not None:
        return known
    if is_test_participant(code):
        return Participant(code, f"T{code[1]}", f"Test {code}", f"测试{code}")
    raise NotFoundError(
        f"{code[:8]!r} is not a participant: use a GB/T 2260 province code such as 31, 00, 66, "
        "or 90 to 99 in a test realm",
        reason=Reason.PARTICIPANT_UNKNOWN,
    )


def check_member(realm: Realm, code: str) -> Participant:
    """The participant `code`, if `realm` may have it as a member. Raises InvalidInputError."""
    try:
        found = participant(code)
    except NotFoundError as error:
        raise InvalidInputError(error.message, reason=error.reason, fields=error.fields) from None
    if not may_join(realm, code):
        raise InvalidInputError(
            f"realm {realm} has no participant {code}: 90 to 99 are for test realms alone",
            reason=Reason.PARTICIPANT_UNKNOWN,
        )
    return found


def may_join(realm: Realm, code: str) -> bool:
    """Whether `realm` may have `code` as a member."""
    return code in PARTICIPANTS or (is_test_realm(realm) and is_test_participant(code))
