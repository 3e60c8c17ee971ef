"""The steps in which somebody cheats. Each attack is refused by name."""

from __future__ import annotations

import time

import grpc

from examples.demo import forgery
from examples.demo.caller import channel, error_words
from examples.demo.evidence import HOUR, report, row
from examples.demo.federation import REALM, TRACING
from examples.demo.process import run
from examples.demo.report import UnexpectedError
from examples.demo.story import DEADLINE_SECONDS, HOME, VISITED, Story, told
from healthcode import Outcome, TrustStore, Verifier
from healthcode.v1 import trust_registry_pb2 as registry_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from healthcode.wire.code import decode_code

STRANGER = "12"  # Tianjin, which nobody approved
OTHER_REALM = "test-elsewhere"


class Attacks:
    """Attacks on Guangdong's node, on a trust client and on the registry."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.federation = story.federation

    def all_refused(self) -> None:
        """One step for each attack."""
        step, story = self.story.report.step, self.story
        self.story.report.chapter("Somebody cheats")
        step(
            "Forged: a key of our own under the kid of Shanghai's",
            "BAD_SIGNATURE, REFUSE",
            lambda: self.refused(forgery.under_the_same_kid(story.code(6), REALM), "BAD_SIGNATURE"),
        )
        step("Tampered: a YELLOW code painted GREEN", "BAD_SIGNATURE, REFUSE", self.painted)
        step(
            "Tampered: a third of the text torn off",
            "MALFORMED, REFUSE",
            lambda: self.refused(forgery.cut_short(story.code(6)), "MALFORMED"),
        )
        step("Expired: a code of ten seconds, shown late", "EXPIRED, REFUSE", self.expired)
        step(
            "A province nobody approved (12) signs a code",
            "UNKNOWN_ISSUER, REFUSE",
            lambda: self.refused(forgery.signed_for(STRANGER, REALM, int(time.time())), "UNKNOWN_ISSUER"),
        )
        step(
            "A Shanghai of another realm signs a code",
            "UNKNOWN_KEY, REFUSE",
            lambda: self.refused(forgery.signed_for(HOME, OTHER_REALM, int(time.time())), "UNKNOWN_KEY"),
        )
        step(
            "An old trust file is served again, to somebody who follows the registry",
            "TRUST_ROLLBACK; the last good trust goes on serving",
            self.old_trust,
        )
        step("A second authority for Shanghai asks to be admitted", "AUTHORITY_EXISTS", self.second_authority)
        step(
            "Guangdong's CA names itself Shanghai, and calls the registry",
            "UNAUTHENTICATED CERTIFICATE_NOT_PUBLISHED",
            self.false_name,
        )

    def refused(self, code: str, outcome: str) -> str:
        """Guangdong's verdict on a code. It must have this outcome and decide REFUSE."""
        return told(self.story.verdict(code), outcome=outcome, decision="REFUSE")

    def painted(self) -> str:
        near_a_case = row(7, kind="CONTACT", finding="OVERLAP", observed_at=HOUR)
        report(self.federation, HOME, TRACING, near_a_case)
        self.story.until(self.story.code(7), "REVOKED")
        yellow = self.story.issue_one("YELLOW", 7)
        told(self.story.verdict(yellow), outcome="VALID", level="YELLOW")
        return self.refused(forgery.painted_green(yellow, REALM), "BAD_SIGNATURE")

    def expired(self) -> str:
        code = self.story.short_lived
        while time.time() <= decode_code(code, REALM).claims.expires_at:
            time.sleep(0.2)
        return self.refused(code, "EXPIRED")

    def old_trust(self) -> str:
        client = self.federation.root / "client"
        self.federation.begin_client(client)
        before = TrustStore.open(client).view
        refused = run(
            "healthcode",
            "trust",
            "sync",
            "--dir",
            client,
            "--source",
            self.federation.old_files,
            "--json",
            status=None,
        )
        after = TrustStore.open(client)
        if refused.reason != "TRUST_ROLLBACK" or after.view.timestamp_version != before.timestamp_version:
            raise UnexpectedError(f"exit status {refused.status}: {refused.out or refused.err}")
        verdict = Verifier(after).verify(self.story.code(8), place="STATION")
        if verdict.outcome is not Outcome.VALID:
            raise UnexpectedError(f"the client then says {verdict.outcome}")
        return f"{refused.reason}; version {after.view.snapshot_version} goes on serving: {verdict.outcome}"

    def second_authority(self) -> str:
        refused = self.federation.join_again(HOME)
        if refused.reason != "AUTHORITY_EXISTS":
            raise UnexpectedError(f"exit status {refused.status}: {refused.out or refused.err}")
        return refused.reason

    def false_name(self) -> str:
        credentials = self.federation.impostor(VISITED, HOME)
        port = self.federation.ports.registry
        with channel(port, "registry.healthcode", credentials) as opened:
            stub = TrustRegistryServiceStub(opened)
            request = registry_pb2.PublishProvinceRequest(
                request_id="impostor", metadata=b"{}", province_json=b"{}"
            )
            try:
                stub.PublishProvince(request, timeout=DEADLINE_SECONDS)
            except grpc.RpcError as error:
                words = error_words(error)
            else:
                raise UnexpectedError("the registry took what Guangdong said in Shanghai's name")
        if words != "UNAUTHENTICATED CERTIFICATE_NOT_PUBLISHED":
            raise UnexpectedError(words)
        return words
