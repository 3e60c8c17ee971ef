"""Times: what is read and written is RFC 3339, whatever Python and whatever is asked."""

import pytest

from healthcode.clock import LAST_SECOND, parse_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T08:00:00Z", 1_795_248_000),
        ("2026-11-21t16:00:00+08:00", 1_795_248_000),
        ("2026-11-21 08:00:00.999z", 1_795_248_000),
        ("9999-12-31T23:59:59Z", LAST_SECOND),
    ],
)
def test_a_time_is_read(text: str, seconds: int) -> None:
    """Any form that RFC 3339 has; what is written is UTC with Z."""
    assert parse_rfc3339(text) == seconds
    assert parse_rfc3339(rfc3339(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21T08:00:00",
        "2026-11-21",
        "20261121T080000Z",
        "2026-W47-6T08:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T08:00:60Z",
        "2026-02-30T08:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "2026-11-21T08:00:00+24:00",
        "２026-11-21T08:00:00Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Also what one Python takes and another does not, and what could not be written again."""
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "1970-01-01T00:00:00Z"), (2**40 - 1, "9999-12-31T23:59:59Z"), (2**70, "9999-12-31T23:59:59Z")],
)
def test_a_moment_that_no_calendar_has_is_the_nearest_one(seconds: int, text: str) -> None:
    """Writing a time never fails: it may stand in an error."""
    assert rfc3339(seconds) == text
