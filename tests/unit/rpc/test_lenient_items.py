"""Requests of items: what cannot be read spoils its own item and no other."""

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from healthcode.policy.words import Outcome
from healthcode.rpc.lenient_items import decode_leniently
from healthcode.v1.province_node_pb2 import (
    QueryStatusRequest,
    VerifyBatchRequest,
    VerifyItem,
    VerifyRequest,
    VerifyStreamRequest,
)
from healthcode.verification.context import CheckContext
from healthcode.verification.verify import verify_code
from tests.simulator.realm import NOW
from tests.unit.verification.realm import view


def test_a_bad_string_spoils_its_own_item() -> None:
    """The other items, and the other fields of the bad one, stay as they were sent."""
    items = [VerifyItem(code=f"HC1:{n}", item_id=str(n), place_type=n) for n in range(1, 4)]
    sent = VerifyBatchRequest(items=items).SerializeToString()
    read = decode_leniently(VerifyBatchRequest, sent.replace(b"HC1:2", b"HC1:\xff"))
    assert read is not None
    items[1].code = "HC1:\ufffd"
    assert list(read.items) == items
    assert verify_code(view(), items[1].code, CheckContext.of(), NOW).outcome is Outcome.MALFORMED


def test_an_item_that_is_none_keeps_its_place() -> None:
    """It is there, and empty."""
    sent = VerifyBatchRequest(items=[VerifyItem(item_id="a"), VerifyItem()]).SerializeToString()
    read = decode_leniently(VerifyBatchRequest, sent[:-1] + b"\x02\xff\xff")
    assert read is not None
    assert [item.item_id for item in read.items] == ["a", ""]
    one = decode_leniently(VerifyRequest, b"\x0a\x02\xff\xff")
    assert one is not None
    assert one.HasField("item")


def test_what_is_no_message_is_none() -> None:
    """Nothing is guessed; and so many items that reading them would take long are none, either."""
    assert decode_leniently(VerifyStreamRequest, b"\xff") is None
    assert decode_leniently(VerifyBatchRequest, b"\x0a\x00" * 10_000 + b"\x0a\x01\xff") is None


@given(
    st.sampled_from([VerifyBatchRequest, VerifyStreamRequest, QueryStatusRequest]), st.binary(max_size=200)
)
def test_whatever_protobuf_can_read_is_read_the_same(kind: type, data: bytes) -> None:
    """Reading again raises nothing, and changes nothing that was good."""
    read = decode_leniently(kind, data)
    try:
        good = kind.FromString(data)
    except DecodeError:
        return
    assert read is not None
    if kind is VerifyBatchRequest:  # one item that stands twice is merged by protobuf; here the last counts
        good.DiscardUnknownFields()
        assert read == good
