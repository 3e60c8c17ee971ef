"""The live key, told in steps between real processes: stolen, seen, taken away; and rotated without a gap."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from healthcode.clock import SystemClock
from healthcode.errors import SignatureError
from healthcode.identity.peer import PeerKind
from healthcode.revocation.day import day_of
from healthcode.rpc.convert import duration
from healthcode.service.service_link import ServiceLink
from healthcode.signing.keyfile import read_key_file
from healthcode.trust.store import TrustStore
from healthcode.trust.view import IssuerView, TrustView
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from province_node.publishing.catch_up import catch_up
from province_node.publishing.next_head import HeadFacts, HeadMaker
from province_node.publishing.registry_link import RegistryLink
from province_node.store.records import Request, Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.integration.province_node.world import Federation, open_federation
from tests.world.waiting import PATIENCE_SECONDS, eventually

HOUR = duration(3600)

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_live_key")]


class Thief:
    """Whoever copied Shanghai's live key and TLS key, and publishes in its name."""

    def __init__(self, federation: Federation, folder: Path) -> None:
        node = federation.node("31")
        passphrase = (node / "passphrase").read_bytes().strip()
        opened = [read_key_file(path, passphrase) for path in (node / "keys").glob("*.key")]
        published = trust_of(federation, "44").issuers["31"].live_keys
        (self._key,) = [each.private for each in opened if each.info.public in published]
        self._federation = federation
        self._store = SqliteNodeStore(folder / "thief.db")

    async def revoke(self, code: province_issuer_pb2.IssuedCode) -> None:
        """Publishes a head above the one that stands, which revokes a code. Raises what the registry says."""
        clock = SystemClock()
        view = trust_of(self._federation, "44")
        issuer = view.issuers["31"]
        catch_up(self._store.publishing, issuer, clock.now())
        item = Revocation(day_of(code.expires_at.seconds), code.index)
        request = Request("thief", uuid.uuid4().hex, "RevokeCodes", b"", clock.now() + 3600)
        self._store.revoking.record_revocations([item], RevocationReason.FRAUD, request, clock.now())
        maker = HeadMaker("31", view.realm, store=self._store.publishing, keys=lambda _: [self._key])
        facts = HeadFacts(
            now=clock.now(), longest_code_seconds=14 * 86_400, resign_seconds=0, resend_lists=True
        )
        outgoing = maker.make(issuer, self._key, facts)
        assert outgoing is not None
        link = ServiceLink(
            "registry",
            PeerKind.REGISTRY,
            realm=view.realm,
            trust=lambda: view,
            tls=self._federation.settings("31").tls,
            clock=clock,
        )
        try:
            await RegistryLink(link).publish_revocations(outgoing)
        finally:
            await link.close()


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("live-key")) as made:
        asyncio.run(eventually(lambda: is_valid(made)))
        yield made


def trust_of(federation: Federation, code: str) -> TrustView:
    return TrustStore.open(federation.settings(code).trust.folder).view


async def is_valid(federation: Federation) -> bool:
    """Whether what Shanghai issues now passes in Guangdong."""
    code = (await federation.issue(validity=HOUR)).code
    return (await federation.verify(code)).outcome == verdict_pb2.OUTCOME_VALID


async def until_outcome(federation: Federation, text: str, outcome: int) -> None:
    async def holds() -> bool:
        return (await federation.verify(text)).outcome == outcome

    await eventually(holds)


async def revoke(federation: Federation, text: str) -> None:
    request = province_issuer_pb2.RevokeCodesRequest(
        request_id=str(uuid.uuid4()), codes=[text], reason=province_issuer_pb2.REVOCATION_REASON_FRAUD
    )
    async with federation.order("31") as stub:
        await stub.RevokeCodes(request, timeout=PATIENCE_SECONDS)


async def command(federation: Federation, *arguments: str | Path, **options: Any) -> Any:
    return await asyncio.to_thread(federation.command, "31", *arguments, **options)


async def rotate(federation: Federation) -> None:
    """The node makes the next live key, the authority signs, the node publishes."""
    await command(federation, "keys", "rotate", "--purpose", "HEAD")
    await command(federation, "publish", "--bundle", await asyncio.to_thread(federation.sign, "31"))


def shanghai(federation: Federation) -> IssuerView:
    return trust_of(federation, "44").issuers["31"]


async def test_the_live_key_is_rotated_while_the_node_serves(federation):
    """Heads go on under the new key, other nodes without a gap, and what was revoked before and after is refused."""
    before, after, good = [(await federation.issue(validity=HOUR)).code for _ in range(3)]
    # 1. Something is revoked under the old key.
    await revoke(federation, before)
    await until_outcome(federation, before, verdict_pb2.OUTCOME_REVOKED)
    old_keys, old_version = shanghai(federation).live_keys, shanghai(federation).live_version
    # 2. Guangdong verifies all the while.
    seen: set[int] = set()
    stop = asyncio.Event()

    async def watch() -> None:
        while not stop.is_set():
            seen.add((await federation.verify(good)).outcome)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    # 3. The node makes the next key, the authority signs, the node publishes.
    await rotate(federation)
    # 4. The running node opens it by itself, and signs the next head with it.
    await revoke(federation, after)
    await until_outcome(federation, after, verdict_pb2.OUTCOME_REVOKED)

    async def has_moved() -> bool:
        now = shanghai(federation)
        return now.live_keys.isdisjoint(old_keys) and now.live_version > old_version

    await eventually(has_moved)
    stop.set()
    await watching
    # 5. No verdict was lost on the way, nothing was un-revoked, nothing is refused, and no alarm rang.
    assert seen == {verdict_pb2.OUTCOME_VALID}
    for text in (before, after):
        assert (await federation.verify(text)).outcome == verdict_pb2.OUTCOME_REVOKED
    assert trust_of(federation, "44").warnings == ()
    status = await command(federation, "status")
    assert status["own_head"] == "as this node made it"
    heads = [line["state"] for line in status["keys"] if line["purpose"] == "HEAD"]
    assert "in use" in heads
    assert set(heads) <= {"in use", "replaced"}


async def test_a_stolen_live_key_is_seen_and_taken_away(federation, tmp_path):
    """A head that the node never made rings at once; the node goes on above it; a new live key ends the theft."""
    victim, other, good = [await federation.issue(validity=HOUR) for _ in range(3)]
    # 1. A thief revokes in Shanghai's name: the live key can only subtract, but that it can.
    thief = Thief(federation, tmp_path)
    await thief.revoke(victim)
    await until_outcome(federation, victim.code, verdict_pb2.OUTCOME_REVOKED)

    # 2. The node says so: in its log, on /metrics, in `status` with what to do, and in `entry`.
    async def rings() -> bool:
        return '"own_head_foreign"' in log_of(federation)

    await eventually(rings)
    (line,) = [json.loads(each) for each in log_of(federation).splitlines() if '"own_head_foreign"' in each]
    assert line["level"] == "error"
    assert metric(federation, "healthcode_own_head_alarm") == 1
    for ends in (
        'kind="key",name="LIVE"',
        'kind="certificate",name="node.pem"',
        'kind="role",name="province-31"',
    ):
        assert metric(federation, f"healthcode_warns_timestamp_seconds{{{ends}}}") > time.time()
    status = await command(federation, "status")
    assert status["own_head"].startswith("ALARM: revocation head version")
    assert any("keys rotate --purpose HEAD" in each["what"] for each in status["act"])
    # 3. It is not brought down by it: what it revokes goes out above the thief's.
    await revoke(federation, other.code)
    await until_outcome(federation, other.code, verdict_pb2.OUTCOME_REVOKED)
    assert (await federation.verify(victim.code)).outcome == verdict_pb2.OUTCOME_REVOKED
    await eventually(lambda: is_valid(federation))
    # 4. One command makes another live key, and says what the thief can do until the authority has signed it.
    stolen = next(
        line["kid"] for line in status["keys"] if line["purpose"] == "HEAD" and line["state"] == "in use"
    )
    said = await command(federation, "keys", "compromise", stolen, "--yes")
    assert "can revoke codes and kill keys" in said["until_then"]
    again = await command(federation, "keys", "compromise", stolen, "--yes")
    assert again["next_kid"] == said["next_kid"], "the one that waits is taken, not another one made"
    await command(federation, "publish", "--bundle", await asyncio.to_thread(federation.sign, "31"))

    async def is_refused() -> bool:
        with pytest.raises(SignatureError):
            await thief.revoke(good)
        return True

    await eventually(is_refused)
    # 5. The alarm stays until a person has looked.
    assert (await command(federation, "entry"))["head_alarm"] is not None
    assert (await command(federation, "entry", "--accept"))["head_alarm"] is None
    await revoke(federation, (await federation.issue(validity=HOUR)).code)

    async def is_quiet() -> bool:
        return metric(federation, "healthcode_own_head_alarm") == 0

    await eventually(is_quiet)
    assert (await federation.verify(good.code)).outcome == verdict_pb2.OUTCOME_VALID


async def test_a_stolen_answer_key_is_taken_away_by_one_command(federation):
    """Another one is made, the old one is put aside, and what the authority signs has the new one alone."""

    def published() -> set[str]:
        return {key.kid.hex() for key in shanghai(federation).keys.values() if key.purpose == "ANSWER"}

    (stolen,) = published()
    refused = await command(federation, "keys", "compromise", "00" * 8, "--yes", status=2)
    assert "has no key 0000000000000000" in refused["error"]["message"]
    said = await command(federation, "keys", "compromise", stolen, "--yes")
    assert said["purpose"] == "ANSWER"
    assert await asyncio.to_thread(Path(said["put_aside"]).is_file)
    assert "authority sign" in said["next"]
    await command(federation, "publish", "--bundle", await asyncio.to_thread(federation.sign, "31"))

    async def is_gone() -> bool:
        return published() == {said["next_kid"]}

    await eventually(is_gone)


async def test_a_backup_from_before_the_rotation_says_that_it_cannot_publish_and_how_it_can_again(
    federation, tmp_path
):
    """restore, check, revoke, status and the metric name the cause; the authority publishes the key that is here."""
    # 1. A backup, and then the live key is rotated.
    file = tmp_path / "node-31.tar"
    await command(federation, "backup", file)
    before = shanghai(federation).live_keys
    victim = (await federation.issue(validity=HOUR)).code
    await rotate(federation)

    async def has_moved() -> bool:
        return shanghai(federation).live_keys.isdisjoint(before)

    await eventually(has_moved)
    # 2. The backup is restored: it says so at once, and `check` again.
    federation.kill("31")
    warning, old_node = (await command(federation, "restore", file, "--replace"))["warnings"]
    assert "if the old node still runs" in old_node
    assert "no HEAD key in this node's folder is the published one" in warning
    findings = (await command(federation, "check"))["findings"]
    assert warning in [each["detail"] for each in findings if each["grade"] == "WARNING"]
    # 3. It serves. What it revokes is recorded, and it says that nobody else knows.
    await asyncio.to_thread(federation.start, "31")
    done = await command(federation, "revoke", victim, "--reason", "LOST_OR_STOLEN")
    assert done["newly_revoked"] == 1
    assert done["published"].startswith("recorded, NOT published yet: SIGNATURE_")
    assert warning in done["published"]
    warnings = (await command(federation, "status"))["warnings"]
    assert any("nothing is published since" in each and warning in each for each in warnings)
    assert metric(federation, "healthcode_publish_failing") == 1
    assert (await federation.verify(victim)).outcome == verdict_pb2.OUTCOME_VALID
    # 4. As it said: the authority signs a request with the key that is here.
    await command(federation, "request")
    await command(federation, "publish", "--bundle", await asyncio.to_thread(federation.sign, "31"))
    await until_outcome(federation, victim, verdict_pb2.OUTCOME_REVOKED)
    await eventually(lambda: is_valid(federation))
    assert metric(federation, "healthcode_publish_failing") == 0
    assert not any("published" in each for each in (await command(federation, "status"))["warnings"])


async def test_a_lost_live_key_is_replaced_by_the_command_that_is_named(federation):
    """No file of it is left: the node serves, keeps what is revoked, and one rotation later it is refused everywhere."""
    before, victim = [await federation.issue(validity=HOUR) for _ in range(2)]
    await revoke(federation, before.code)
    await until_outcome(federation, before.code, verdict_pb2.OUTCOME_REVOKED)
    # 1. The node goes down, and the live key's file is lost. `check` names it, and the command.
    federation.kill("31")
    await asyncio.to_thread(remove_heads, federation.node("31"))
    findings = (await command(federation, "check", status=2))["findings"]
    (failed,) = [each["detail"] for each in findings if each["grade"] == "FAILED"]
    assert "no HEAD key is in" in failed
    assert "keys rotate --purpose HEAD" in failed
    # 2. It starts all the same: it verifies, and what it revokes is kept. Each says the same cause.
    await asyncio.to_thread(federation.start, "31")
    assert (await federation.verify(before.code)).outcome == verdict_pb2.OUTCOME_REVOKED
    done = await command(federation, "revoke", victim.code, "--reason", "LOST_OR_STOLEN")
    assert done["newly_revoked"] == 1
    assert done["published"].startswith("recorded, NOT published yet: KEY_UNAVAILABLE")
    status = await command(federation, "status")
    for said in (done["published"], *status["warnings"][:1], log_of(federation)):
        assert "the HEAD key is missing in this node's folder" in said
        assert "keys rotate --purpose HEAD" in said
    assert (await federation.verify(victim.code)).outcome == verdict_pb2.OUTCOME_VALID
    # 3. That command, the authority's signature, `publish`: nothing else.
    await rotate(federation)
    await until_outcome(federation, victim.code, verdict_pb2.OUTCOME_REVOKED)
    # 4. It goes on: nothing was un-revoked, it issues, and no index twice.
    await eventually(lambda: is_valid(federation))
    assert (await federation.verify(before.code)).outcome == verdict_pb2.OUTCOME_REVOKED
    later = [await federation.issue(validity=HOUR) for _ in range(5)]
    used = {(day_of(each.expires_at.seconds), each.index) for each in (before, victim, *later)}
    assert len(used) == 7
    assert not any("HEAD" in each for each in (await command(federation, "status"))["warnings"])


def remove_heads(node: Path) -> None:
    for path in (node / "keys").glob("head-*.key"):
        path.unlink()


def log_of(federation: Federation) -> str:
    return "".join(path.read_text() for path in federation.root.glob("31-*.log"))


def metric(federation: Federation, name: str) -> float:
    page = urllib.request.urlopen(
        f"http://{federation.settings('31').metrics.listen}/metrics", timeout=PATIENCE_SECONDS
    )
    with page:
        lines = page.read().decode().splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))
