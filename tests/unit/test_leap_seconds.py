"""A zone with leap seconds (TZ=right/…) changes nothing that is written."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.clock import NOW

_LEAP_SECONDS = 27
_PRINT_TIMES = f"""
import io, json, time
from datetime import UTC, datetime
from healthcode.clock import parse_rfc3339, rfc3339, utc
from healthcode.identity.x509 import decode_certificates
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.telemetry import configure_logging, get_logger
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.new_metadata import new_timestamp
log = io.StringIO()
configure_logging("test", stream=log)
get_logger("test").info("now")
logged = parse_rfc3339(json.loads(log.getvalue())["timestamp"])
(ca,) = decode_certificates(make_ca("a CA", days=10, now={NOW}).certificate_pem)
print(json.dumps({{
    "c_library": int(datetime.fromtimestamp({NOW}, UTC).timestamp()) - {NOW},
    "rfc3339": rfc3339({NOW}),
    "utc": utc({NOW}).isoformat(),
    "certificate": [ca.not_before, ca.not_after],
    "metadata": json.loads(to_bytes(new_timestamp(version=1, snapshot=b"", snapshot_version=1, now={NOW})))["signed"],
    "log_is_right": abs(logged - time.time()) < 10,
}}))
"""


def _zone_with_leap_seconds(path: Path) -> Path:
    """A TZif file for UTC that takes all leap seconds off at the start of 1972."""
    leaps = [(63_072_000 + number, number + 1) for number in range(_LEAP_SECONDS)]

    def block(width: str) -> bytes:
        header = b"TZif2" + bytes(15) + struct.pack(">6L", 0, 0, len(leaps), 0, 1, 4)
        records = b"".join(struct.pack(f">{width}l", at, total) for at, total in leaps)
        return header + struct.pack(">lBB", 0, 0, 0) + b"UTC\0" + records

    path.write_bytes(block("l") + block("q") + b"\nUTC0\n")
    return path


def _times(zone: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", _PRINT_TIMES],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here() -> dict[str, object]:
    return _times("UTC")


def test_a_zone_with_leap_seconds_shifts_no_time_that_is_written(
    tmp_path: Path, here: dict[str, object]
) -> None:
    """Texts, certificates, signed metadata and the log are the same as in UTC, though the C library's time is not."""
    there = _times(str(_zone_with_leap_seconds(tmp_path / "right")))
    assert (
        there.pop("c_library") == -_LEAP_SECONDS
    )  # else the zone shifts nothing here, and this test shows nothing
    assert here == {"c_library": 0, **there}
    assert there["log_is_right"] is True
