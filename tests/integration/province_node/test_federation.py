"""Two provinces recognise each other's codes: real processes, real sockets, mTLS."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import ssl
import urllib.request
import uuid

import pytest

from healthcode.cli.picture import read_picture
from healthcode.errors import (
    HealthcodeError,
    InvalidInputError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
)
from healthcode.policy.book_file import default_policy_bytes
from healthcode.rpc.convert import duration
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.settings import split_address
from healthcode.v1 import province_issuer_pb2, province_node_pb2, verdict_pb2
from healthcode.wire.answer import decode_answer
from healthcode.wire.claims import Level
from tests.integration.province_node.world import Federation, open_federation
from tests.world.command import run_command_here
from tests.world.people import VALID_IDS, item
from tests.world.waiting import PATIENCE_SECONDS, eventually

Item = province_node_pb2.VerifyItem
# one federation for all of these, also when workers share the tests out by group
pytestmark = pytest.mark.xdist_group("province_node")


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("federation"), policy=default_policy_bytes()) as made:
        _until_issuing(made)
        yield made


def _until_issuing(federation: Federation) -> None:
    """Waits until each node's codes pass at the other."""

    async def ready() -> None:
        for home, visited in (("31", "44"), ("44", "31")):

            async def passes(home: str = home, visited: str = visited) -> bool:
                code = (await federation.issue(home)).code
                return (await federation.verify(code, visited)).outcome == verdict_pb2.OUTCOME_VALID

            await eventually(passes)

    asyncio.run(ready())


async def test_a_code_of_one_province_passes_in_another(federation):
    """What Shanghai issues, Guangdong verifies: level, masked name and issuer as signed."""
    issued = await federation.issue()
    verdict = await federation.verify(issued.code)
    assert verdict.outcome == verdict_pb2.OUTCOME_VALID
    assert verdict.decision == verdict_pb2.DECISION_PASS
    assert (verdict.issuer, verdict.kid, verdict.masked_name) == ("31", issued.kid, "张*三")


async def test_a_batch_answers_each_item_by_itself(federation):
    """results[i] answers items[i]; garbage and a wrong field spoil no other item."""
    good = (await federation.issue()).code
    asked = [
        Item(code=good, item_id="a"),
        Item(code="garbage", item_id="b"),
        Item(code=good, area_code="xx", item_id="c"),
        Item(code=good, item_id="d" * 65),
    ]
    async with federation.ask("44") as stub:
        response = await stub.VerifyBatch(
            province_node_pb2.VerifyBatchRequest(items=asked), timeout=PATIENCE_SECONDS
        )
        with pytest.raises(InvalidInputError) as refused, rpc_errors("the node"):
            await stub.VerifyBatch(
                province_node_pb2.VerifyBatchRequest(items=[Item()] * 129), timeout=PATIENCE_SECONDS
            )
    first, second, third, fourth = response.results
    assert (first.item_id, first.decision) == ("a", verdict_pb2.DECISION_PASS)
    assert (second.item_id, second.outcome) == ("b", verdict_pb2.OUTCOME_MALFORMED)
    assert (third.item_id, third.decision, third.detail) == (
        "c",
        verdict_pb2.DECISION_UNDECIDED,
        "item.area_code",
    )
    assert (fourth.decision, fourth.detail) == (verdict_pb2.DECISION_UNDECIDED, "item.item_id")
    assert refused.value.reason is Reason.BATCH_TOO_LARGE


async def test_a_stream_answers_in_order_and_outlives_bad_items(federation):
    """One result a request, in order; a bad item never ends the stream."""
    good = (await federation.issue()).code
    texts = [good, "garbage", "", "C" * 70_000, good] * 20

    async def requests():
        for number, text in enumerate(texts):
            yield province_node_pb2.VerifyStreamRequest(item=Item(code=text, item_id=str(number)))

    async with federation.ask("44") as stub:
        verdicts = [response.verdict async for response in stub.VerifyStream(requests())]
    assert [verdict.item_id for verdict in verdicts] == [str(number) for number in range(len(texts))]
    passed = verdict_pb2.DECISION_PASS
    assert [verdict.decision == passed for verdict in verdicts] == [text == good for text in texts]
    assert verdicts[3].detail == "code.too_long"


async def test_a_code_that_is_far_too_long_is_a_verdict(federation):
    """100 KB of a scanner's noise is MALFORMED; what is over the limit is told as TOO_LARGE."""
    verdict = await federation.verify("C" * 100_000)
    assert (verdict.outcome, verdict.detail) == (verdict_pb2.OUTCOME_MALFORMED, "code.too_long")
    with pytest.raises(OverloadedError) as refused, rpc_errors("the node"):
        await federation.verify("C" * 300_000)
    assert refused.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("mode", ["CACHED", "LIVE"])
async def test_the_home_is_asked_through_the_gateway(federation, mode):
    """QueryStatus brings the home's signed word, which the asking node has checked."""
    issued = await federation.issue()
    found = await _query(federation, issued.code, mode)
    assert found.status == province_node_pb2.CODE_STATUS_ACTIVE
    assert found.verdict.decision == verdict_pb2.DECISION_PASS
    answer = decode_answer(found.signed_answer).answer
    assert (answer.home, answer.level, answer.mode) == ("31", Level.GREEN, mode)


async def test_each_province_witnesses_the_audit_log_of_the_other(federation):
    """What 31 records is in the checkpoint that it signs next, and 44 keeps that; nothing is held against it."""
    issued = await federation.issue()
    await _revoke(federation, issued.code)

    async def is_kept() -> bool:
        rows = federation.command("44", "status")["audit_logs"]
        return any(row["participant"] == "31" and row["size"] >= 256 for row in rows)

    await eventually(is_kept)
    (row,) = (
        each for each in federation.command("44", "status")["audit_logs"] if each["participant"] == "31"
    )
    assert row["alarms"] == []


async def _query(federation: Federation, text: str, mode: str) -> province_node_pb2.QueryStatusResponse:
    async with federation.ask("44") as stub:
        return await stub.QueryStatus(
            province_node_pb2.QueryStatusRequest(
                item=Item(code=text),
                mode=province_node_pb2.QueryMode.Value(f"QUERY_MODE_{mode}"),
                purpose=province_node_pb2.QUERY_PURPOSE_TRAVEL,
            ),
            timeout=PATIENCE_SECONDS,
        )


async def _revoke(federation: Federation, *codes: str) -> province_issuer_pb2.RevokeCodesResponse:
    async with federation.order("31") as stub:
        return await stub.RevokeCodes(
            province_issuer_pb2.RevokeCodesRequest(
                request_id=str(uuid.uuid4()),
                codes=codes,
                reason=province_issuer_pb2.REVOCATION_REASON_LOST_OR_STOLEN,
            ),
            timeout=PATIENCE_SECONDS,
        )


async def _until_refused(federation: Federation, text: str) -> None:
    async def is_refused() -> bool:
        return (await federation.verify(text)).outcome == verdict_pb2.OUTCOME_REVOKED

    await eventually(is_refused)


async def _until_issued_with(federation: Federation, kid: str) -> province_issuer_pb2.IssuedCode:
    """A code under this key, which the running node opens when it sees it published."""
    found: list[province_issuer_pb2.IssuedCode] = []

    async def is_issued() -> bool:
        found[:] = [await federation.issue()]
        return found[0].kid == kid

    await eventually(is_issued)
    return found[0]


async def _until_passed(federation: Federation, text: str) -> None:
    """Waits until the other node, too, has the key of a new code."""

    async def passes() -> bool:
        verdict = await federation.verify(text)
        assert verdict.decision == verdict_pb2.DECISION_PASS or (
            verdict.outcome == verdict_pb2.OUTCOME_UNKNOWN_KEY
        ), verdict
        return verdict.decision == verdict_pb2.DECISION_PASS

    await eventually(passes, suppressed=())


async def test_a_revoked_code_is_refused_elsewhere_within_seconds(federation):
    """Revoked in Shanghai, refused in Guangdong; asked live, the home says so at once."""
    issued, other = await federation.issue(), await federation.issue(number=VALID_IDS[1])
    assert (await _revoke(federation, issued.code)).newly_revoked == 1
    live = await _query(federation, issued.code, "LIVE")
    assert live.verdict.outcome == verdict_pb2.OUTCOME_REVOKED
    await _until_refused(federation, issued.code)
    assert (await federation.verify(issued.code)).decision == verdict_pb2.DECISION_REFUSE
    assert (await federation.verify(other.code)).decision == verdict_pb2.DECISION_PASS


async def test_a_changed_level_takes_the_old_code_back(federation):
    """A holder who turns RED shows no GREEN code for long."""
    green = await federation.issue(number=VALID_IDS[2])
    red = await federation.issue(
        number=VALID_IDS[2], level=verdict_pb2.LEVEL_RED, reason=province_issuer_pb2.LEVEL_REASON_A4
    )
    await _until_refused(federation, green.code)
    verdict = await federation.verify(red.code)
    assert (verdict.outcome, verdict.level) == (verdict_pb2.OUTCOME_VALID, verdict_pb2.LEVEL_RED)
    assert verdict.decision != verdict_pb2.DECISION_PASS


async def test_issuing_is_item_by_item_and_repeats_its_answer(federation):
    """A bad item refuses itself; the same request id gives the same codes; another content is refused."""
    request = province_issuer_pb2.IssueCodesRequest(
        request_id=str(uuid.uuid4()),
        items=[item(), item(number="11010519491231002"), item(level=verdict_pb2.LEVEL_NO_ABNORMALITY)],
    )
    async with federation.order("31") as stub:
        first = await stub.IssueCodes(request, timeout=PATIENCE_SECONDS)
        assert await stub.IssueCodes(request, timeout=PATIENCE_SECONDS) == first
        request.items.pop()
        with pytest.raises(HealthcodeError) as refused, rpc_errors("the node"):
            await stub.IssueCodes(request, timeout=PATIENCE_SECONDS)
    assert [result.refused_reason for result in first.results] == ["", "DOCUMENT_INVALID", "LEVEL_FORBIDDEN"]
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


async def test_each_listener_takes_its_own_callers(federation):
    """An integrator cannot issue, and a back end's certificate does not verify."""
    from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
    from province_node.cli.connection import _open

    node, settings = federation.node("31"), federation.settings("31")
    async with _open(node, settings, settings.issuer_listen, "integrator") as channel:
        with pytest.raises(PermissionDeniedError), rpc_errors("the node"):
            await ProvinceIssuerServiceStub(channel).IssueCode(
                province_issuer_pb2.IssueCodeRequest(request_id="x", item=item()), timeout=PATIENCE_SECONDS
            )


async def test_what_was_acknowledged_survives_kill_9(federation):
    """After SIGKILL: the same request id gives the same code, the revocation is published, no index comes twice."""
    request = province_issuer_pb2.IssueCodeRequest(
        request_id=str(uuid.uuid4()), item=item(number=VALID_IDS[3])
    )
    async with federation.order("31") as stub:
        before = await stub.IssueCode(request, timeout=PATIENCE_SECONDS)
    await _revoke(federation, before.issued.code)
    federation.kill("31")
    federation.start("31")
    async with federation.order("31") as stub:
        assert await stub.IssueCode(request, timeout=PATIENCE_SECONDS) == before
    await _until_refused(federation, before.issued.code)
    after = await federation.issue(number=VALID_IDS[3])
    assert after.index != before.issued.index


async def test_with_everybody_gone_a_restarted_node_still_verifies(federation):
    """Registry, gateway and home down, the node restarted: VALID offline, and the home TEMPORARILY_UNAVAILABLE."""
    issued = await federation.issue()
    await federation.verify(issued.code)
    try:
        for name in ("registry", "gateway", "31"):
            assert federation.stop(name) == 0
        assert federation.stop("44") == 0
        federation.start("44")
        assert (await federation.verify(issued.code)).decision == verdict_pb2.DECISION_PASS
        found = await _query(federation, issued.code, "CACHED")
        assert found.verdict.outcome == verdict_pb2.OUTCOME_TEMPORARILY_UNAVAILABLE
        assert (found.verdict.decision, found.verdict.level) == (verdict_pb2.DECISION_UNDECIDED, 0)
        assert found.retry_after.ToNanoseconds() > 0
    finally:
        for name in ("registry", "gateway", "31"):
            federation.start(name)


async def test_a_rotated_key_takes_over_and_old_codes_go_on(federation):
    """Keys rotate → authority sign → publish: new codes bear the new key, old ones still pass."""
    old = await federation.issue()
    made = await asyncio.to_thread(federation.command, "31", "keys", "rotate", "--purpose", "LIVE")
    published = await asyncio.to_thread(
        federation.command, "31", "publish", "--bundle", federation.sign("31")
    )
    assert published["seen_by_node"]
    new = await _until_issued_with(federation, made["kid"])
    assert old.kid != new.kid
    await _until_passed(federation, new.code)
    assert (await federation.verify(old.code)).decision == verdict_pb2.DECISION_PASS


async def test_the_commands_go_all_the_way(federation, tmp_path):
    """Issue draws a picture, verify reads it at another node, revoke takes it back, status tells."""
    picture = tmp_path / "code.png"
    keyboard = f"10\n{VALID_IDS[0]}\n张小三\n"
    issued = await asyncio.to_thread(federation.command, "31", "issue", "--png", picture, keyboard=keyboard)
    assert read_picture(picture).codes == (issued["code"],)
    verdict = await asyncio.to_thread(federation.command, "44", "verify", picture)
    assert verdict["decision"] == "PASS"
    source, out = tmp_path / "holders.ndjson", tmp_path / "codes.ndjson"
    source.write_text(
        "".join(json.dumps({"number": number, "name": "李四"}) + "\n" for number in (*VALID_IDS, "1"))
    )
    summary = await asyncio.to_thread(
        federation.command, "31", "issue", "--file", source, "--out", out, status=1
    )
    assert (summary["issued"], summary["refused"]) == (4, 1)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[4]["refused_reason"] == "DOCUMENT_INVALID"
    assert out.stat().st_mode & 0o777 == 0o600
    revoked = await asyncio.to_thread(
        federation.command, "31", "revoke", rows[0]["code"], "--reason", "FRAUD"
    )
    assert revoked["newly_revoked"] == 1
    queried = await asyncio.to_thread(
        federation.command, "44", "query", rows[0]["code"], "--mode", "LIVE", status=1
    )
    assert queried["verdict"]["outcome"] == "REVOKED"
    status = await asyncio.to_thread(federation.command, "31", "status")
    assert (status["serving"], status["admitted"]) == (True, True)
    assert all(isinstance(status[name], int) for name in ("trust_snapshot", "trust_root", "published_head"))


async def test_metrics_and_log_hold_nothing_of_a_person(federation):
    """/metrics counts; neither it nor the log holds an id number, a name or a code."""
    issued = await federation.issue(validity=duration(60))
    await federation.verify(issued.code, "31")
    listen = federation.settings("31").metrics.listen
    page = await asyncio.to_thread(
        lambda: urllib.request.urlopen(f"http://{listen}/metrics", timeout=PATIENCE_SECONDS).read()
    )
    text = page.decode()
    assert "healthcode_codes_issued_total" in text
    logs = "".join(path.read_text() for path in federation.root.glob("31-*.log"))
    assert "Traceback" not in logs
    for secret in (*VALID_IDS, "张小三", issued.code, issued.code[10:60]):
        assert secret not in text + logs


@pytest.mark.parametrize(
    ("module", "folder"),
    [("trust_registry", "registry"), ("province_node", "node-31"), ("gateway", "gateway")],
)
def test_each_service_tells_a_container_whether_it_serves(federation, tmp_path, module, folder):
    """`health` ends with 0 while the service serves, and with 4 when nobody answers at its address."""
    done = run_command_here(module, "health", "--dir", federation.root / folder, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"health": "SERVING"})
    elsewhere = tmp_path / folder
    shutil.copytree(federation.root / folder, elsewhere)
    (configuration,) = elsewhere.glob("*.toml")
    text = re.sub(
        r'^((?:public_)?listen = "127\.0\.0\.1:)\d+', r"\g<1>9", configuration.read_text(), flags=re.MULTILINE
    )
    configuration.write_text(text.replace('listen = "127.0.0.1:9"', 'listen = "127.0.0.1:10"', 1))
    assert run_command_here(module, "health", "--dir", elsewhere).returncode == 4


def answer_to_a_stranger(listen: str) -> bytes:
    """The first byte of HTTP/2 for who has no certificate; empty when TLS ends before."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection(split_address(listen), timeout=PATIENCE_SECONDS) as raw,
            context.wrap_socket(raw) as stranger,
        ):
            stranger.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
            return stranger.recv(1)
    except OSError:
        return b""


def test_a_node_has_no_listener_for_strangers(federation):
    """TLS ends before HTTP/2 begins, so that no stranger's flood reaches Verify; the registry's public one answers."""
    node = federation.settings("44")
    assert [answer_to_a_stranger(each) for each in (node.listen, node.issuer_listen)] == [b"", b""]
    assert answer_to_a_stranger(node.registry.endpoint) != b""
