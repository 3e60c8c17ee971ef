"""What ProvinceNodeService says of requests that bring nothing, or a wrong field."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from healthcode.errors import InvalidInputError
from healthcode.rpc.call import CallInfo
from healthcode.telemetry import Metrics
from healthcode.v1 import province_node_pb2, verdict_pb2
from healthcode.verification.context import CheckContext
from healthcode.verification.verify import verify_code
from healthcode.wire.question import QueryMode, QueryPurpose
from province_node.api.integrator import ProvinceNodeServicer
from province_node.metrics import NodeMetrics
from province_node.queries.ask import StatusResult
from tests.unit.province_node.world import World

Item = province_node_pb2.VerifyItem
CALL = CallInfo("m", None, None)


@pytest.fixture
def servicer(world: World) -> ProvinceNodeServicer:
    return ProvinceNodeServicer(
        trust=world.trust,
        ask=None,  # type: ignore[arg-type]  # nothing here is asked
        clock=world.clock,
        metrics=NodeMetrics(Metrics("node-test")),
    )


async def test_a_call_without_an_item_is_wrong(servicer: ProvinceNodeServicer) -> None:
    """Nobody showed a code, so nobody is refused: INVALID_ARGUMENT names the field."""
    with pytest.raises(InvalidInputError) as caught:
        await servicer.Verify(province_node_pb2.VerifyRequest(), CALL)
    assert caught.value.fields == {"item": "missing"}
    purpose = province_node_pb2.QUERY_PURPOSE_TRAVEL
    with pytest.raises(InvalidInputError) as caught:
        await servicer.QueryStatus(province_node_pb2.QueryStatusRequest(purpose=purpose), CALL)
    assert caught.value.fields == {"item": "missing"}


async def test_a_query_without_a_purpose_hears_which_there_are(servicer: ProvinceNodeServicer) -> None:
    """The values, as a client writes them."""
    with pytest.raises(InvalidInputError) as caught:
        await servicer.QueryStatus(province_node_pb2.QueryStatusRequest(item=Item(code="x")), CALL)
    assert "QUERY_PURPOSE_ENTRY_CHECK, QUERY_PURPOSE_TRAVEL" in caught.value.fields["purpose"]
    assert "UNSPECIFIED" not in caught.value.fields["purpose"]


async def test_a_word_that_was_lost_on_the_way_is_told(world: World) -> None:
    """A mode or place that a client's library dropped is named in the verdict; one of a newer client is refused or flagged."""
    asked: list[QueryMode] = []

    class Ask:
        async def ask(
            self, text: str, mode: QueryMode, purpose: QueryPurpose, context: CheckContext, seconds: float
        ) -> StatusResult:
            asked.append(mode)
            return StatusResult(verify_code(world.view, text, context, world.clock.now()), mode)

    servicer = ProvinceNodeServicer(
        trust=world.trust,
        ask=Ask(),  # type: ignore[arg-type]  # what it is asked is what counts
        clock=world.clock,
        metrics=NodeMetrics(Metrics("node-test")),
    )

    async def query(**fields: int) -> verdict_pb2.Verdict:
        item = Item(code=world.issue_one().text, place_type=fields.pop("place", 0))  # type: ignore[arg-type]  # any number
        request = province_node_pb2.QueryStatusRequest(item=item, purpose=1, **fields)  # type: ignore[arg-type]  # any number
        return (await servicer.QueryStatus(request, CALL)).verdict

    assert list((await query()).warnings) == ["NO_PLACE_TYPE", "NO_QUERY_MODE"]
    assert list((await query(place=99, mode=1)).warnings) == ["UNKNOWN_PLACE_TYPE"]
    assert list((await query(place=11, mode=2)).warnings) == []
    assert asked == [QueryMode.CACHED, QueryMode.CACHED, QueryMode.LIVE]
    with pytest.raises(InvalidInputError) as caught:
        await query(place=11, mode=99)
    assert "QUERY_MODE_LIVE" in caught.value.fields["mode"]
    assert len(asked) == 3


async def test_an_item_that_is_missing_ends_nothing(servicer: ProvinceNodeServicer, world: World) -> None:
    """Of many it is UNDECIDED, in a batch and in a stream."""
    good = world.issue_one().text

    async def requests() -> AsyncIterator[province_node_pb2.VerifyStreamRequest]:
        yield province_node_pb2.VerifyStreamRequest()
        yield province_node_pb2.VerifyStreamRequest(item=Item(code=good))

    streamed = [response.verdict async for response in servicer.VerifyStream(requests(), CALL)]
    batch = province_node_pb2.VerifyBatchRequest(items=[Item(), Item(code=good)])
    together = (await servicer.VerifyBatch(batch, CALL)).results
    for missing, passed in (streamed, together):
        assert (missing.decision, missing.detail) == (verdict_pb2.DECISION_UNDECIDED, "item.missing")
        assert missing.rule == ""
        assert passed.decision == verdict_pb2.DECISION_PASS
        assert passed.rule


async def test_a_wrong_field_names_no_rule(servicer: ProvinceNodeServicer, world: World) -> None:
    """No rule made a good code UNDECIDED; a bad one is refused by the rule that is named."""
    asked = [Item(code=world.issue_one().text, area_code="xx"), Item(code="garbage", area_code="xx")]
    batch = province_node_pb2.VerifyBatchRequest(items=asked)
    good, bad = (await servicer.VerifyBatch(batch, CALL)).results
    assert (good.decision, good.rule, good.detail) == (
        verdict_pb2.DECISION_UNDECIDED,
        "",
        "item.area_code",
    )
    assert bad.decision == verdict_pb2.DECISION_REFUSE
    assert bad.rule
