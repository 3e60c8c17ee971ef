"""The steps in which somebody cheats: each is refused, and says by which word."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import grpc

from examples.demo import forgery
from examples.demo.caller import error_words
from examples.demo.federation import REALM
from examples.demo.process import run
from examples.demo.report import UnexpectedError
from examples.demo.story import HOME, VISITED, Story, told
from healthcode import TrustStore, Verifier
from healthcode.v1 import trust_registry_pb2 as registry_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

STRANGER = "12"  # Tianjin, which nobody approved
OTHER_REALM = "test-elsewhere"


class Attacks:
    """Refusals at Guangdong's node, at a trust client, and at the registry."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.federation = story.federation

    def all_refused(self) -> None:
        """One step for each attack."""
        step, story = self.story.report.step, self.story
        step(
            "Forged: a key of our own under the kid of Shanghai's",
            "BAD_SIGNATURE, REFUSE",
            lambda: self.refused(forgery.under_the_same_kid(story.codes[6], REALM), "BAD_SIGNATURE"),
        )
        step("Tampered: a YELLOW code painted GREEN", "BAD_SIGNATURE, REFUSE", self.painted)
        step(
            "Tampered: a third of the text torn off",
            "MALFORMED, REFUSE",
            lambda: self.refused(forgery.cut_short(story.codes[6]), "MALFORMED"),
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
            "Yesterday's trust files are served again to a client",
            "refused, and the last good trust goes on serving",
            self.old_trust,
        )
        step(
            "Guangdong's CA names itself Shanghai, and calls the registry",
            "UNAUTHENTICATED CERTIFICATE_NOT_PUBLISHED",
            self.false_name,
        )

    def refused(self, code: str, outcome: str) -> str:
        """Guangdong's verdict on a code that must have this outcome and be refused."""
        return told(self.story.verdict(code), outcome=outcome, decision="REFUSE")
