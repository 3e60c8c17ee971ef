"""Holders of codes: valid id numbers that belong to nobody, and what is ordered for them."""

from __future__ import annotations

from typing import Any

from healthcode.identity.document import decode_document
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.wire.claims import Level, Presentation
from province_node.codes.order import IssueOrder
from province_node.store.records import LevelStatement

__all__ = ["NAME", "VALID_IDS", "item", "order"]

VALID_IDS = ("11010519491231002X", "440524188001010014", "810000199001010019", "830000199001010012")
NAME = "张小三"


def order(number: str = VALID_IDS[0], **changes: Any) -> IssueOrder:
    """The use case's order for a GREEN LIVE code for the holder of `number`."""
    values: dict[str, Any] = {
        "document": decode_document("10", number),
        "name": NAME,
        "statement": LevelStatement(Level.GREEN),
        "presentation": Presentation.LIVE,
    }
    return IssueOrder(**{**values, **changes})


def item(number: str = VALID_IDS[0], **changes: Any) -> province_issuer_pb2.IssueItem:
    """The same as a back end sends it."""
    values: dict[str, Any] = {"level": verdict_pb2.LEVEL_GREEN, "name": NAME, **changes}
    document = province_issuer_pb2.IdentityDocument(document_type="10", number=number)
    return province_issuer_pb2.IssueItem(document=document, **values)
