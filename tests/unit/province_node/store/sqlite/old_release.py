"""What a back end asked a node of release 0.1.0 (commit a69ac6f), whose database is dumped in old_release.sql.

The node was participant 31 of the simulated realm, with its keys and its clock at NOW. It ran this file's requests
through its ProvinceIssuerService, in this order; `sqlite3 node.db .dump` wrote the file, with `PRAGMA user_version`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from healthcode.identity.peer import PeerId, PeerKind
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2

CALLER = PeerId("test-simulator", PeerKind.ISSUER, "31", "x")
NOW = 1_795_248_000
NUMBERS = ("11010519491231002X", "440524188001010014", "810000199001010019")


def item(number: str, level: str = "GREEN", **more: Any) -> pb.IssueItem:
    document = pb.IdentityDocument(document_type="10", number=number)
    return pb.IssueItem(document=document, level=verdict_pb2.Level.Value(f"LEVEL_{level}"), **more)


def issue_one() -> pb.IssueCodeRequest:
    return pb.IssueCodeRequest(request_id="one", item=item(NUMBERS[0], name="张小三"))


def issue_many() -> pb.IssueCodesRequest:
    """Codes of both presentations and every optional field, and three refusals."""
    return pb.IssueCodesRequest(
        request_id="many",
        items=[
            item(NUMBERS[0], name="李四"),
            item("123"),
            item(
                NUMBERS[1],
                "RED",
                reason=pb.LEVEL_REASON_A4,
                presentation=verdict_pb2.PRESENTATION_PAPER,
                shown_by_relative=True,
            ),
            item(NUMBERS[2], "RED"),
            item(NUMBERS[2], "GREEN", reason=pb.LEVEL_REASON_A4),
            item(NUMBERS[2], validity={"seconds": 60}),
            item(
                NUMBERS[0],
                "YELLOW",
                reason=pb.LEVEL_REASON_B6,
                legal_instrument="No. 7",
                level_until={"seconds": NOW + 900},
            ),
        ],
    )


def revocations(texts: Sequence[str]) -> list[tuple[str, Any]]:
    """(method, request): one code, one holder, nobody, and the PAPER key twice; `texts` are the codes issued."""
    fraud = pb.REVOCATION_REASON_FRAUD
    nobody = pb.IssueSelection(issued_from={"seconds": 1}, issued_until={"seconds": 2}, rule="R1")
    holder = pb.HolderSelection(documents=[pb.IdentityDocument(document_type="10", number=NUMBERS[2])])
    return [
        ("RevokeCodes", pb.RevokeCodesRequest(request_id="revoke", codes=[texts[0], texts[3]], reason=fraud)),
        ("RevokeMatching", pb.RevokeMatchingRequest(request_id="holder", holders=holder, reason=fraud)),
        ("RevokeMatching", pb.RevokeMatchingRequest(request_id="nobody", issued=nobody, reason=fraud)),
    ]


def kills(kid: str) -> list[tuple[str, Any]]:
    """(method, request): the key is killed, and killed again."""
    compromised = pb.REVOCATION_REASON_KEY_COMPROMISED
    return [
        ("KillKey", pb.KillKeyRequest(request_id=f"kill-{number}", kid=kid, reason=compromised))
        for number in (1, 2)
    ]
