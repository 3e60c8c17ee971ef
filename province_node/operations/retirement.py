"""When this province, if it leaves, signs its last code, and when its last code ends."""

from __future__ import annotations

from healthcode.clock import rfc3339
from healthcode.trust.format.json_files import Retirement

__all__ = ["describe_retirement"]

_SECONDS_PER_DAY = 86_400


def describe_retirement(retirement: Retirement | None, now: int) -> dict[str, object] | None:
    """Both times, the days left until each, and the next step; None for a province that stays."""
    if retirement is None:
        return None
    signs, codes = retirement.signs_until, retirement.codes_until
    if now < signs:
        following = (
            "tell the holders (`province-node retirement --holders`); undone until then by the operators"
        )
    elif now < codes:
        following = "keep the node running: it answers for the codes that are out, and revokes them"
    else:
        following = "nothing is out any more: the operators take the delegation back; then stop the node"
    return {
        "signs_until": rfc3339(signs),
        "signs_days_left": max(0, signs - now) // _SECONDS_PER_DAY,
        "codes_until": rfc3339(codes),
        "codes_days_left": max(0, codes - now) // _SECONDS_PER_DAY,
        "next": following,
    }
