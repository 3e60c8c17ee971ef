"""The messages of the issuer's API: an item without a level, and what is told of a refused one."""

from __future__ import annotations

import pytest

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.rpc.status_mapping import decode_status, encode_status
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2
from healthcode.wire.claims import Level
from province_node.api.evidence_messages import decode_evidence_selection
from province_node.api.issuer_messages import decode_order, decode_selection, encode_results
from province_node.people.level import check_stated_level
from province_node.people.pseudonym import PseudonymKey
from province_node.store.records import LevelStatement
from tests.world.people import item


def test_an_unset_level_states_nothing() -> None:
    """And an unknown one is an error of its field."""
    assert decode_order(item(level=0)).statement is None
    assert decode_order(item()).statement == LevelStatement(Level.GREEN)
    with pytest.raises(InvalidInputError) as caught:
        decode_order(item(level=77))
    assert list(caught.value.fields) == ["level"]


def test_a_refusal_tells_the_derived_level() -> None:
    """In a batch as a field, in a call as ErrorInfo that a client reads back."""
    with pytest.raises(PreconditionError) as caught:
        check_stated_level(LevelStatement(Level.GREEN), Level.YELLOW)
    (result,) = encode_results([caught.value]).results
    assert (result.refused_reason, result.derived_level) == ("LEVEL_FORBIDDEN", verdict_pb2.LEVEL_YELLOW)
    read = decode_status(encode_status(caught.value))
    assert (read.reason, read.info) == (Reason.LEVEL_FORBIDDEN, {"derived_level": "YELLOW"})
    (other,) = encode_results([InvalidInputError("no")]).results
    assert other.derived_level == verdict_pb2.LEVEL_UNSPECIFIED


@pytest.mark.parametrize("lost", [b"\x22\x02A8", b"\x20\x63", b"\x7a\x01x"])
def test_a_condition_that_is_not_read_selects_nothing(lost: bytes) -> None:
    """Of another wire type, of an unknown number, or of a newer client: it is refused, and never passed over."""
    issued = pb.IssueSelection(issued_by="spiffe://t/issuer/31/x")
    issued.issued_from.seconds, issued.issued_until.seconds = 1, 2
    decode_selection(pb.RevokeMatchingRequest(issued=issued), PseudonymKey(b"k" * 32))
    issued.MergeFromString(lost)
    with pytest.raises(InvalidInputError):
        decode_selection(pb.RevokeMatchingRequest(issued=issued), PseudonymKey(b"k" * 32))


@pytest.mark.parametrize("lost", [b"\x1a\x04TEST", b"\x18\x63", b"\x7a\x01x"])
def test_a_kind_that_is_not_read_withdraws_nothing(lost: bytes) -> None:
    """As for codes: without its kind, a window takes back all that was received in it."""
    received = pb.ReceiptSelection()
    received.received_from.seconds, received.received_until.seconds = 1, 2
    decode_evidence_selection(pb.WithdrawEvidenceRequest(received=received))
    received.MergeFromString(lost)
    with pytest.raises(InvalidInputError):
        decode_evidence_selection(pb.WithdrawEvidenceRequest(received=received))
