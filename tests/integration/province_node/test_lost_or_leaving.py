"""What becomes of a province's codes, told in steps between real processes.

When the province leaves, or stays after all; when its node's passphrase is lost, or its INDEX key alone.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healthcode.clock import SystemClock, rfc3339
from healthcode.revocation.day import day_of
from healthcode.rpc.convert import duration
from healthcode.trust.store import TrustStore
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from province_node.__main__ import cli
from tests.integration.province_node.world import Federation, open_federation
from tests.world.people import VALID_IDS
from tests.world.waiting import eventually
from trust_registry.__main__ import cli as registry_cli

COUNT = 12
VALID = verdict_pb2.OUTCOME_VALID

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_lost_or_leaving")]


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("lost-or-leaving")) as made:
        yield made


def issue_some(federation: Federation) -> list[province_issuer_pb2.IssuedCode]:
    """Codes that Guangdong takes, once Shanghai issues at all."""
    found: list[province_issuer_pb2.IssuedCode] = []

    async def passes() -> bool:
        found[:] = [await federation.issue(validity=duration(3600))]
        return (await federation.verify(found[0].code)).outcome == VALID

    async def several() -> None:
        await eventually(passes)
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


def operators(federation: Federation, *arguments: str) -> None:
    """Two operators sign what `propose retirement 31` says."""
    registry = federation.root / "registry"
    here = ("--dir", str(registry), "--json")
    proposed = CliRunner().invoke(registry_cli, ["propose", "retirement", "31", *arguments, *here])
    assert proposed.exit_code == 0, proposed.output
    for number in (1, 2):
        key = ("--key", f"operator-{number}", "--passphrase-file", str(registry / "ceremony" / "passphrase"))
        proposal = json.loads(proposed.stdout)["proposal"]
        signed = CliRunner().invoke(registry_cli, ["sign", proposal, *key, "--yes", *here])
        assert signed.exit_code == 0, signed.output


def test_a_province_that_leaves_tells_whom_it_concerns(federation: Federation, tmp_path: Path) -> None:
    """Codes end with it, verdicts and the node say so, holders are listed; withdrawn, all is as before."""
    issue_some(federation)
    people = tmp_path / "people.ndjson"
    rows = [{"document_type": "10", "number": number, "name": "张小三"} for number in VALID_IDS[:3]]
    people.write_text("\n".join(json.dumps(row) for row in rows))
    now = SystemClock().now()
    signs, codes = now + 2 * 3600, now + 3 * 86_400 - 3600
    # 1. One holder has a PAPER code for a week, before anything is announced; another only a LIVE one.
    paper = {"presentation": verdict_pb2.PRESENTATION_PAPER, "number": VALID_IDS[1]}
    early = asyncio.run(federation.issue(validity=duration(7 * 86_400), **paper))
    assert early.expires_at.seconds > codes
    operators(federation, "--signs-until", rfc3339(signs), "--codes-until", rfc3339(codes))

    async def is_told() -> bool:
        verdict = await federation.verify(early.code)
        assert verdict.outcome == VALID
        return "ISSUER_RETIRES" in verdict.warnings and rfc3339(codes) in verdict.remedy

    asyncio.run(eventually(is_told))

    async def is_known_at_home() -> bool:
        return bool(command(federation, "retirement")["retires"])

    asyncio.run(eventually(is_known_at_home))
    # 2. What is issued now ends with it; the one before ends early.
    late = asyncio.run(federation.issue(validity=duration(7 * 86_400), **{**paper, "number": VALID_IDS[2]}))
    assert late.expires_at.seconds == codes
    assert asyncio.run(federation.verify(early.code)).code_expires_at.seconds == codes
    # 3. The node says when, and lists whom it concerns: by pseudonym, and of those whom the back end knows.
    told = command(federation, "status")["retirement"]
    assert (told["codes_until"], told["codes_days_left"]) == (rfc3339(codes), 2)
    concerned = lines(federation, "--holders")
    assert [line["ends_at"] for line in concerned] == [rfc3339(codes)] * 2
    assert not any(number in json.dumps(concerned) for number in VALID_IDS)
    known = lines(federation, "--among", people)
    assert [line["number"] for line in known] == list(VALID_IDS[1:3])
    assert all(line["ends"] == {"PAPER": rfc3339(codes)} for line in known)
    # 4. It stays after all: everything is as it was.
    operators(federation, "--withdraw")

    async def is_over() -> bool:
        verdict = await federation.verify(early.code)
        return not verdict.warnings and verdict.code_expires_at.seconds == early.expires_at.seconds

    asyncio.run(eventually(is_over))


def lines(federation: Federation, *arguments: str | Path) -> list[dict[str, Any]]:
    """What `province-node retirement` lists."""
    everything = ["retirement", *map(str, arguments), "--dir", str(federation.node("31"))]
    result = CliRunner().invoke(cli, everything)
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    return [json.loads(line) for line in result.stdout.splitlines()]


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

    asyncio.run(eventually(is_refused))
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
    view = TrustStore.open(federation.settings("44").trust.folder).view
    assert view.issuers["31"].province_version == 3
    for code in (before[0], after[0], last[0]):
        assert outcome(federation, code) == VALID
