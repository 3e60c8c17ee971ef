"""The purpose of a key. A key has one purpose for its whole life, and is refused for every other."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["KeyPurpose"]


class KeyPurpose(StrEnum):
    """The one use of a key, by its word in province.json and in key files."""

    LIVE = "LIVE"  # signs LIVE codes; at most 7 days
    PAPER = "PAPER"  # signs PAPER codes; at most 30 days
    ANSWER = "ANSWER"  # signs answers to questions
    QUESTION = "QUESTION"  # signs questions
    HEAD = "HEAD"  # a node's online TUF key: revocation heads, role province-NN-live
    AUTHORITY = "AUTHORITY"  # a province's offline TUF key: province.json
    OFFICER = "OFFICER"  # signs an officer's acts; in the officers file
    ROOT = "ROOT"  # a national key holder's offline TUF key
    OPERATOR = "OPERATOR"  # a national operator's offline TUF key: targets
    AREAS = "AREAS"  # area risk
    SNAPSHOT = "SNAPSHOT"
    TIMESTAMP = "TIMESTAMP"
    INDEX = "INDEX"  # not a signing key: the secret of the index permutation
