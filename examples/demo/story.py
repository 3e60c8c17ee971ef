"""The main steps of the demo. Each does something real and returns what happened, in words.

A step raises UnexpectedError when the result is not the expected one. `attack.py` has the steps with attacks.
"""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict

from examples.demo.evidence import DAY, NEGATIVE, person, report, row
from examples.demo.federation import GATEWAY, LABORATORY, REALM, REGISTRY, Federation
from examples.demo.patience import Attempts
from examples.demo.report import Report, UnexpectedError
from examples.holders import COUNT
from examples.holders import PATH as HOLDERS
from healthcode import TrustStore
from healthcode.signing.purpose import KeyPurpose
from healthcode.v1 import province_issuer_pb2 as issuer_pb2
from healthcode.v1 import province_node_pb2 as node_pb2
from healthcode.v1 import verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from healthcode.wire.cose import Context, decode_sign1, verify_sign1
from province_node.codes.qr import qr_size, write_qr

HOME, VISITED = "31", "44"
DEADLINE_SECONDS = 60
HEALED_WITHIN_SECONDS = 15
REFUSED_WITHIN_SECONDS = 15
ROTATED_WITHIN_SECONDS = 20
LEVEL_WITHIN_SECONDS = 20
POLL_SECONDS = 0.02
REST_SECONDS = 0.2
SHORT_LIFE_SECONDS = 10


class Story:
    """The steps, and the codes that they share."""

    def __init__(self, federation: Federation, report: Report, holders: int = COUNT) -> None:
        self.federation = federation
        self.holders = holders
        self.report = report
        self.codes: list[str] = []
        self.short_lived = ""
        self.picture: Path = federation.root / "code.png"

    def main_road(self) -> None:
        """Issue, show, verify offline; then with all services: query and revoke."""
        step, chapter = self.report.step, self.report.chapter
        chapter("One code can pass")
        step(f"Shanghai issues codes to {self.holders:,} holders", f"{self.holders:,} codes", self.issue)
        step("Shanghai writes one of them as a PNG", "a picture", self.draw)
        step("Guangdong reads the PNG back and verifies it", "VALID, PASS", self.verify_picture)
        chapter("Alone")
        step(
            "The registry, the gateway and Shanghai stop; Guangdong restarts, and verifies it offline",
            "VALID, PASS",
            self.verify_alone,
        )
        step(
            "Guangdong queries the status, while nobody can be asked",
            "TEMPORARILY_UNAVAILABLE, UNDECIDED",
            self.query_nobody,
        )
        chapter("With everybody there")
        step(
            "They start again",
            f"Shanghai can be asked within {HEALED_WITHIN_SECONDS} s, by itself",
            self.start_again,
        )
        step(
            "Guangdong queries the status through the gateway, CACHED, and checks Shanghai's signature",
            "VALID, ACTIVE, signed by 31",
            lambda: self.query(node_pb2.QUERY_MODE_CACHED),
        )
        step(
            "The same, LIVE: bound to this very question",
            "VALID, ACTIVE, signed by 31",
            lambda: self.query(node_pb2.QUERY_MODE_LIVE),
        )
        step(
            "The national platform says NO_ABNORMALITY; Guangdong verifies it",
            "VALID, PASS, as for GREEN",
            self.no_abnormality,
        )
        step(
            "Shanghai revokes one code; Guangdong asks itself until it refuses",
            f"REVOKED, REFUSE, within {REFUSED_WITHIN_SECONDS} s",
            self.revoke,
        )

    def rotation(self) -> None:
        """Shanghai rotates its code key; verifiers notice nothing."""
        self.report.chapter("Keys change, codes stay good")
        self.report.step(
            "Shanghai's authority signs a new LIVE key, and Shanghai rotates to it",
            "old codes VALID, PASS; new ones too, under another kid",
            self.rotate,
        )

    def code(self, holder: int) -> str:
        """The code that Shanghai issued to a holder."""
        if not self.codes:
            raise UnexpectedError("not tried: Shanghai has issued no codes")
        return self.codes[holder]

    def issue(self) -> str:
        target = self.federation.root / "codes.ndjson"
        people = self.federation.root / "holders.ndjson"
        lines = HOLDERS.read_text(encoding="utf-8").splitlines(keepends=True)
        people.write_text("".join(lines[: self.holders]), encoding="utf-8")
        self.federation.node_command(HOME, "issue", "--file", people, "--out", target)
        self.codes = [json.loads(line)["code"] for line in target.read_text(encoding="utf-8").splitlines()]
        if len(set(self.codes)) != self.holders:
            raise UnexpectedError(f"{len(set(self.codes))} codes")
        sizes = sorted(map(len, self.codes))
        self.short_lived = self.issue_one("GREEN", 9, seconds=SHORT_LIFE_SECONDS)
        return f"{len(self.codes):,} codes of {sizes[0]} to {sizes[-1]} characters"

    def draw(self) -> str:
        write_qr(self.code(0), self.picture)
        return f"{self.picture.name}, {self.picture.stat().st_size:,} bytes, {qr_size(self.code(0))}"

    def verify_picture(self) -> str:
        done = self.federation.node_command(VISITED, "verify", "--place", "STATION", "--json", self.picture)
        return told(done.json(), outcome="VALID", decision="PASS", level="GREEN")

    def verify_alone(self) -> str:
        self.federation.stop(REGISTRY, GATEWAY, HOME, VISITED)
        began = time.monotonic()
        self.federation.start(VISITED)
        verdict = self.verdict(self.code(1))
        return (
            told(verdict, outcome="VALID", decision="PASS")
            + f", {time.monotonic() - began:.1f} s after its start"
        )

    def query_nobody(self) -> str:
        answer = self.status(self.code(1), node_pb2.QUERY_MODE_CACHED)
        happened = told(
            plain(answer.verdict), outcome="TEMPORARILY_UNAVAILABLE", decision="UNDECIDED", level=""
        )
        return f"{happened}, ask again after {answer.retry_after.ToTimedelta().total_seconds():g} s"

    def start_again(self) -> str:
        self.federation.start(REGISTRY, GATEWAY, HOME)
        attempts = Attempts(HEALED_WITHIN_SECONDS, pause_seconds=REST_SECONDS)
        while self.status(self.code(2), node_pb2.QUERY_MODE_CACHED).status != node_pb2.CODE_STATUS_ACTIVE:
            if not attempts.another():
                raise UnexpectedError(
                    f"Shanghai cannot be asked, {attempts.seconds:.0f} s after all have started"
                )
        return f"Shanghai can be asked again {attempts.seconds:.1f} s after"

    def query(self, mode: node_pb2.QueryMode.ValueType) -> str:
        answer = self.status(self.code(1), mode)
        happened = told(plain(answer.verdict), outcome="VALID", decision="PASS")
        if answer.status != node_pb2.CODE_STATUS_ACTIVE or answer.mode != mode:
            raise UnexpectedError(f"{happened}, {node_pb2.CodeStatus.Name(answer.status)}")
        kid = self._check_signature(answer.signed_answer)
        return f"{happened}, ACTIVE, signed by {HOME} under {kid[:8]}…"

    def _check_signature(self, signed_answer: bytes) -> str:
        """Checks an answer once more, outside the node, with Guangdong's trust files."""
        view = TrustStore.open(self.federation.node(VISITED) / "trust").view
        message = decode_sign1(signed_answer)
        key = view.issuers[HOME].keys.get(message.kid)
        if key is None or key.purpose is not KeyPurpose.ANSWER:
            raise UnexpectedError("the answer names a key that is no ANSWER key of Shanghai")
        if not verify_sign1(message, key.public, Context.ANSWER, REALM):
            raise UnexpectedError("Shanghai's signature does not hold")
        return message.kid.hex()

    def no_abnormality(self) -> str:
        # 00 says it only of somebody of whom it knows something
        report(self.federation, "00", LABORATORY, row(2, **NEGATIVE, observed_at=DAY))
        national = self.issue_one("NO_ABNORMALITY", 2, home="00")
        green = self.verdict(self.code(2))
        verdict = self.verdict(national)
        happened = told(verdict, outcome="VALID", decision="PASS", level="NO_ABNORMALITY", issuer="00")
        if verdict["rule"] != green["rule"]:
            raise UnexpectedError(f"rule {verdict['rule']}, and for GREEN {green['rule']}")
        return f"{happened}, by rule {verdict['rule']}, as GREEN"

    def revoke(self) -> str:
        code = self.code(3)
        told(self.verdict(code), outcome="VALID", decision="PASS")
        request = issuer_pb2.RevokeCodesRequest(
            request_id=str(uuid.uuid4()), codes=[code], reason=issuer_pb2.REVOCATION_REASON_LOST_OR_STOLEN
        )
        with self.federation.back_end(HOME) as channel:
            ProvinceIssuerServiceStub(channel).RevokeCodes(request, timeout=DEADLINE_SECONDS)
        attempts = Attempts(REFUSED_WITHIN_SECONDS, pause_seconds=POLL_SECONDS)
        while (verdict := self.verdict(code))["outcome"] == "VALID":
            if not attempts.another():
                raise UnexpectedError(f"still VALID after {attempts.seconds:.0f} s")
        seconds = attempts.seconds
        return f"{told(verdict, outcome='REVOKED', decision='REFUSE')}, {seconds:.2f} s after the acknowledgement"

    def rotate(self) -> str:
        old = self.verdict(self.code(4))
        told(old, outcome="VALID", decision="PASS")
        self.federation.rotate(HOME, "LIVE")
        attempts = Attempts(ROTATED_WITHIN_SECONDS, pause_seconds=REST_SECONDS)
        new = old
        while new["kid"] == old["kid"]:
            if not attempts.another():
                raise UnexpectedError(
                    f"still the old key, {attempts.seconds:.0f} s after the new one was published"
                )
            new = self.verdict(self.issue_one("GREEN", 5))
            told(new, outcome="VALID", decision="PASS")
        seconds = attempts.seconds
        still = told(self.verdict(self.code(4)), outcome="VALID", decision="PASS")
        return f"old code, {old['kid'][:8]}…: {still}; new one, {new['kid'][:8]}…: the same, {seconds:.1f} s later"

    def until(self, code: str, outcome: str) -> float:
        """Asks Guangdong until a code has this outcome; how long that took."""
        attempts = Attempts(LEVEL_WITHIN_SECONDS, pause_seconds=POLL_SECONDS)
        while (verdict := self.verdict(code))["outcome"] != outcome:
            if not attempts.another():
                raise UnexpectedError(f"still {verdict['outcome']} after {attempts.seconds:.0f} s")
        return attempts.seconds

    def verdict(self, code: str, at: str = VISITED) -> dict[str, Any]:
        """The verdict of a participant's node, asked by an integrator over mTLS."""
        with self.federation.integrator(at) as channel:
            response = ProvinceNodeServiceStub(channel).Verify(
                node_pb2.VerifyRequest(item=_item(code)), timeout=DEADLINE_SECONDS
            )
        return plain(response.verdict)

    def issue_one(self, level: str, holder: int, *, home: str = HOME, seconds: int = 600) -> str:
        """One LIVE code from a participant's node, asked by its back end over mTLS. No level: the derived one."""
        about = person(holder)
        item = issuer_pb2.IssueItem(
            document=issuer_pb2.IdentityDocument(
                document_type=about["document_type"], number=about["number"]
            ),
            name=about["name"],
            level=verdict_pb2.Level.Value(f"LEVEL_{level or 'UNSPECIFIED'}"),
            presentation=verdict_pb2.PRESENTATION_LIVE,
            validity=Duration(seconds=seconds),
        )
        with self.federation.back_end(home) as channel:
            response = ProvinceIssuerServiceStub(channel).IssueCode(
                issuer_pb2.IssueCodeRequest(request_id=str(uuid.uuid4()), item=item), timeout=DEADLINE_SECONDS
            )
        return response.issued.code

    def status(self, code: str, mode: node_pb2.QueryMode.ValueType) -> node_pb2.QueryStatusResponse:
        """The result of QueryStatus at Guangdong."""
        with self.federation.integrator(VISITED) as channel:
            return ProvinceNodeServiceStub(channel).QueryStatus(
                node_pb2.QueryStatusRequest(
                    item=_item(code), mode=mode, purpose=node_pb2.QUERY_PURPOSE_ENTRY_CHECK
                ),
                timeout=DEADLINE_SECONDS,
            )


def _item(code: str) -> node_pb2.VerifyItem:
    return node_pb2.VerifyItem(code=code, place_type=verdict_pb2.PLACE_TYPE_STATION, item_id="demo")


def plain(verdict: Any) -> dict[str, Any]:
    """A verdict as a dictionary, enum words without their prefixes."""
    words: dict[str, Any] = MessageToDict(verdict, preserving_proto_field_name=True)
    for name in ("outcome", "decision", "level"):
        words[name] = words.get(name, "").removeprefix(f"{name.upper()}_")
    return words


def told(verdict: dict[str, Any], **expected: str) -> str:
    """The verdict in words. Raises UnexpectedError when a field is not as expected."""
    words = ", ".join(
        filter(None, (verdict["outcome"], verdict.get("detail"), verdict["level"], verdict["decision"]))
    )
    if any((verdict.get(name) or "") != value for name, value in expected.items()):
        raise UnexpectedError(words)
    return words
