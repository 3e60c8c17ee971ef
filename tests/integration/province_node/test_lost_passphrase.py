"""A node's passphrase is lost, told in steps between real processes; and its INDEX key alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healthcode.revocation.day import day_of
from healthcode.rpc.convert import duration
from healthcode.trust.store import TrustStore
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from province_node.__main__ import cli
from tests.integration.province_node.world import Federation, open_federation

WITHIN_SECONDS = 30
COUNT = 12
VALID = verdict_pb2.OUTCOME_VALID

pytestmark = pytest.mark.xdist_group("province_node_lost_passphrase")


@pytest.fixture
def federation(tmp_path):
    with open_federation(tmp_path) as made:
        yield made


async def until(holds: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    give_up = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            if await holds():
                return
        except Exception as error:  # the node starts, or has not published yet
            if time.monotonic() > give_up:
                raise AssertionError from error
        assert time.monotonic() < give_up
        await asyncio.sleep(0.1)


def issue_some(federation: Federation) -> list[province_issuer_pb2.IssuedCode]:
    """Codes that Guangdong takes, once Shanghai issues at all."""
    found: list[province_issuer_pb2.IssuedCode] = []

    async def passes() -> bool:
        found[:] = [await federation.issue(validity=duration(3600))]
        return (await federation.verify(found[0].code)).outcome == VALID

    async def several() -> None:
        await until(passes)
        found.extend([await federation.issue(validity=duration(3600)) for _ in range(COUNT)])

    asyncio.run(several())
    return found


def command(federation: Federation, *arguments: str | Path, refused: bool = False, typed: str = "") -> Any:
    """A command at Shanghai's node: its output as data, or why it was refused."""
    everything = [*map(str, arguments), "--dir", str(federation.node("31")), "--json"]
    result = CliRunner().invoke(cli, everything, input=typed)
    assert (result.exit_code != 0) is refused, f"{arguments}\n{result.output}\n{result.exception}"
    return str(result.exception) if refused else json.loads(result.stdout)


def outcome(federation: Federation, code: province_issuer_pb2.IssuedCode) -> int:
    return asyncio.run(federation.verify(code.code)).outcome


def places(codes: list[province_issuer_pb2.IssuedCode]) -> set[tuple[int, int]]:
    return {(day_of(code.expires_at.seconds), code.index) for code in codes}


def test_a_lost_passphrase_takes_no_code_and_gives_no_index_twice(
    federation: Federation, tmp_path: Path
) -> None:
    """New keys by the authority's signature; the codes of the old ones pass until they end, and can be revoked."""
    node, keys = federation.node("31"), federation.settings("31").keys.folder
    fresh = tmp_path / "fresh"
    fresh.write_text("a new passphrase, kept in a safe\n")
    fresh.chmod(0o600)
    replace = ("keys", "replace", "--new-passphrase-file", fresh, "--yes")
    before = issue_some(federation)
    old_files = {path.name: path.read_bytes() for path in keys.iterdir()}
    # 1. Nobody knows the passphrase any more. A node that runs is stopped first.
    (node / "passphrase").write_text("what somebody remembers it as\n")
    assert "stop it" in command(federation, *replace, refused=True)
    federation.stop("31")
    assert "does not open" in command(federation, "request", refused=True)
    # 2. New keys, and the old files aside; codes go on to pass.
    done = command(federation, *replace)
    assert done["first_series"] == 1
    assert {path.name: path.read_bytes() for path in Path(done["kept_aside"]).iterdir()} == old_files
    assert outcome(federation, before[0]) == VALID
    # 3. The authority signs the request; the keys of the codes that are out stay published.
    command(federation, "publish", "--bundle", federation.sign("31"))
    federation.start("31")
    after = issue_some(federation)
    assert {code.kid for code in after} & {code.kid for code in before} == set()
    for code in (before[0], before[-1], after[-1]):
        assert outcome(federation, code) == VALID
    # 4. No index was given twice, and what was issued before is revoked by code.
    assert len(places(before) | places(after)) == len(before) + len(after)
    assert not places(before) & places(after)
    revoked = before[1]
    command(federation, "revoke", "--reason", "FRAUD", "-", typed=revoked.code + "\n")

    async def is_refused() -> bool:
        return (await federation.verify(revoked.code)).outcome == verdict_pb2.OUTCOME_REVOKED

    asyncio.run(until(is_refused))
    # 5. The next request goes on naming the old LIVE and PAPER keys.
    command(federation, "keys", "rotate", "--purpose", "LIVE")
    command(federation, "publish", "--bundle", federation.sign("31"))
    assert outcome(federation, before[0]) == VALID
    # 6. The INDEX key alone is gone: no signature is needed, and again no index comes twice.
    federation.stop("31")
    next(keys.glob("index-*.key")).unlink()
    done = command(federation, "keys", "replace", "--index-only", "--yes")
    assert done["first_series"] == 2
    federation.start("31")
    last = issue_some(federation)
    assert not places(last) & (places(before) | places(after))
    assert TrustStore.open(federation.settings("44").trust.folder).view.issuers["31"].province_version == 3
    for code in (before[0], after[0], last[0]):
        assert outcome(federation, code) == VALID
