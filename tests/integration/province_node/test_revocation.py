"""Taking back, between real processes: by holder and by batch, a stolen key, a node restored from its backup."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from healthcode.clock import SystemClock, rfc3339
from healthcode.policy.book_file import default_policy_bytes
from healthcode.rpc.convert import duration
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from tests.integration.province_node.world import Federation, open_federation
from tests.world.command import run_command_here
from tests.world.people import VALID_IDS
from tests.world.waiting import eventually

HOUR = duration(3600)

pytestmark = pytest.mark.xdist_group("province_node_revocation")


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("revocation"), policy=default_policy_bytes()) as made:
        asyncio.run(_until(made, verdict_pb2.OUTCOME_VALID))
        yield made


async def _until(federation: Federation, outcome: int, text: str | None = None) -> None:
    """Until a code (or a new one) has this outcome at the other province."""

    async def is_so() -> bool:
        code = text or (await federation.issue(validity=HOUR)).code
        return (await federation.verify(code)).outcome == outcome

    await eventually(is_so)


async def command(federation: Federation, *arguments: str | Path, **options):
    return await asyncio.to_thread(federation.command, "31", *arguments, **options)


def holders_file(folder: Path, *numbers: str) -> Path:
    path = folder / "holders.ndjson"
    path.write_text("".join(json.dumps({"number": number, "name": "张小三"}) + "\n" for number in numbers))
    return path


async def test_codes_of_a_holder_are_counted_then_revoked(federation, tmp_path):
    """A dry run counts and changes nothing; the same with --yes revokes, everywhere; the batch reads back."""
    codes = [(await federation.issue(number=VALID_IDS[1], validity=HOUR)).code for _ in range(2)]
    revoke = ("revoke", "--reason", "HOLDER_REQUEST", "--holders", holders_file(tmp_path, VALID_IDS[1]))
    counted = await command(federation, *revoke, "--dry-run")
    assert (counted["would_revoke"], counted["already_revoked"]) == (2, 0)
    assert (await federation.verify(codes[0])).outcome == verdict_pb2.OUTCOME_VALID
    done = await command(federation, *revoke, "--yes")
    assert (done["newly_revoked"], done["already_revoked"]) == (2, 0)
    assert done["published"].startswith("head ")
    for code in codes:
        await _until(federation, verdict_pb2.OUTCOME_REVOKED, code)


async def test_more_than_one_code_asks_first(federation):
    """From standard input nobody can be asked, so --yes is needed; rows that `issue --out` wrote are read."""
    issued = [await federation.issue(number=number, validity=HOUR) for number in VALID_IDS[2:4]]
    rows = [{"row": row, "code": each.code} for row, each in enumerate(issued)]
    rows.append({"row": 3, "refused_reason": "DOCUMENT_INVALID"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    revoke = ("revoke", "--reason", "ISSUED_IN_ERROR", "-")
    await asyncio.to_thread(_refused, federation, revoke, lines)
    done = await command(federation, *revoke, "--yes", keyboard=lines)
    assert done["newly_revoked"] == 2


def _refused(federation: Federation, arguments, keyboard: str) -> None:
    done = run_command_here("province_node", *arguments, "--dir", federation.node("31"), keyboard=keyboard)
    assert done.returncode == 2
    assert "--yes" in done.stderr


async def test_a_wrongful_batch_is_revoked_by_ground_back_end_and_time(federation):
    """What one back end issued on one ground in a window goes, and nothing else; the registry serves what the head names."""
    begin = SystemClock().now()
    red = {"level": verdict_pb2.LEVEL_RED, "reason": province_issuer_pb2.LEVEL_REASON_A4, "validity": HOUR}
    batch = [await federation.issue(number=number, **red) for number in VALID_IDS[2:4]]
    bystander = await federation.issue(number=VALID_IDS[0], validity=HOUR)
    done = await command(
        federation,
        *("revoke", "--reason", "FRAUD", "--level-reason", "A4", "--yes"),
        *("--issued-by", "spiffe://test-node.healthcode/issuer/31/console"),
        *("--from", rfc3339(begin), "--until", rfc3339(SystemClock().now() + 1)),
    )
    assert done["newly_revoked"] == 2
    for issued in batch:
        await _until(federation, verdict_pb2.OUTCOME_REVOKED, issued.code)
    assert (await federation.verify(bystander.code)).outcome == verdict_pb2.OUTCOME_VALID
    # both hold the same lists, padded, and the registry serves what the head names
    states = [
        TrustStore.open(federation.settings(code).trust.folder).view.issuers["31"].revocations
        for code in ("31", "44")
    ]
    newest = max(states, key=lambda state: state.head.version)
    lists = federation.root / "registry"
    named = [entry.full_sha256 for entry in newest.head.days.values()]
    assert named
    assert all(list(lists.rglob(f"{digest.hex()}*")) for digest in named)


async def test_a_stolen_key_is_killed_by_one_command_and_holders_get_codes_from_the_next(
    federation, tmp_path
):
    """With a key published ahead: one command, every node refuses, issuing goes on, holders are reissued."""
    await command(federation, "keys", "rotate", "--purpose", "LIVE")
    await command(federation, "publish", "--bundle", await asyncio.to_thread(federation.sign, "31"))
    stolen = await federation.issue(validity=HOUR)
    killed = await command(federation, "keys", "compromise", stolen.kid, "--yes")
    assert killed["killed"] == "now"
    assert killed["next_kid"] not in {None, stolen.kid}
    assert killed["codes_out"] >= 1
    assert killed["published"].startswith("head ")
    await _until(federation, verdict_pb2.OUTCOME_KEY_REVOKED, stolen.code)
    assert (await federation.issue(validity=HOUR)).kid == killed["next_kid"]
    out = tmp_path / "codes.ndjson"
    summary = await command(
        federation,
        *("issue", "--file", holders_file(tmp_path, VALID_IDS[0], VALID_IDS[1])),
        *("--replacing", stolen.kid, "--out", out),
        status=1,
    )
    assert (summary["issued"], summary["refused"]) == (1, 1)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0]["kid"] == killed["next_kid"]
    assert rows[1]["refused_reason"] == "CODE_UNKNOWN"
    # and the last one, with no key published ahead: nothing can be issued, and each command that mends it is named
    last = await command(federation, "keys", "compromise", killed["next_kid"], "--yes")
    assert last["next_kid"] is None
    assert "NOTHING LIVE CAN BE ISSUED: no other LIVE key" in last["next"]
    await _until(federation, verdict_pb2.OUTCOME_KEY_REVOKED, rows[0]["code"])
    for step in (
        "keys rotate --purpose LIVE",
        "authority sign",
        "publish --bundle",
        f"--replacing {last['kid']}",
    ):
        assert step in last["next"]
    await command(federation, "keys", "rotate", "--purpose", "LIVE")
    await command(federation, "publish", "--bundle", await asyncio.to_thread(federation.sign, "31"))
    await _until(federation, verdict_pb2.OUTCOME_VALID)


async def test_a_restored_node_un_revokes_nothing_and_goes_on(federation, tmp_path):
    """After the backup a code was revoked; the restored node refuses it still, and issues from the next series."""
    file = tmp_path / "node-31.tar"
    await command(federation, "backup", file)
    issued = await federation.issue(validity=HOUR)
    await command(federation, "revoke", issued.code, "--reason", "LOST_OR_STOLEN")
    await _until(federation, verdict_pb2.OUTCOME_REVOKED, issued.code)
    refused = await command(federation, "restore", file, "--replace", status=2)
    assert "stop it" in json.dumps(refused)
    federation.kill("31")
    (federation.node("31") / "node.toml").write_text("[damaged")  # what one restores for is no obstacle
    restored = await command(federation, "restore", file, "--replace")
    assert restored["first_series"] == 1
    (warning,) = restored["warnings"]
    assert "if the old node still runs" in warning
    assert restored["revocations_taken_in"] >= 1
    await asyncio.to_thread(federation.start, "31")
    await _until(federation, verdict_pb2.OUTCOME_VALID)
    assert (await federation.verify(issued.code)).outcome == verdict_pb2.OUTCOME_REVOKED
    assert (await federation.verify(issued.code, "31")).outcome == verdict_pb2.OUTCOME_REVOKED
    again = await federation.issue(validity=HOUR)
    assert again.index >> 26 == 1
    assert (await federation.verify(again.code)).outcome == verdict_pb2.OUTCOME_VALID

    # the registry has acknowledged it, and the other node takes it in a moment later
    async def has_the_new_series() -> bool:
        return trust_of_44().issuers["31"].revocations.head.first_series == 1

    def trust_of_44() -> TrustView:
        return TrustStore.open(federation.settings("44").trust.folder).view

    await eventually(has_the_new_series)
    assert trust_of_44().warnings == ()
