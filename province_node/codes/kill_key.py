"""Killing a code key that is in wrong hands: the one thing that must never wait for an offline key.

A killed key stands in the head for ever; whatever it signed is refused everywhere as soon
as the head arrives, and this node signs with it no more from the moment the kill is
durable (`NodeStore.kill_key`), published or not. The next published key takes over at
once; so keep one published ahead (`province-node keys rotate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import InvalidInputError, PreconditionError
from healthcode.signing.ed25519 import kid as kid_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from province_node.keys.keyring import Keyring
from province_node.store.records import HeldCode, KillStore, Request, RevocationReason

__all__ = ["KillUseCase", "KilledKey", "decode_kid"]

_CODE_PURPOSES = (KeyPurpose.LIVE, KeyPurpose.PAPER)


@dataclass(frozen=True, slots=True)
class KilledKey:
    """What a kill came to. `next_kid` None: nothing can be issued until another key is published."""

    codes_out: int
    next_kid: bytes | None
    already_killed: bool


def decode_kid(text: str) -> bytes:
    """A kid from its 16 hexadecimal digits. Raises InvalidInputError."""
    try:
        kid = bytes.fromhex(text)
    except ValueError:
        kid = b""
    if len(kid) != 8 or kid.hex() != text.lower():
        raise InvalidInputError(
            "a kid has 16 hexadecimal digits, as `province-node keys list` shows them",
            fields={"kid": "16 hexadecimal digits"},
        )
    return kid


class KillUseCase:
    """Kills the code keys of one participant."""

    def __init__(
        self,
        *,
        participant: str,
        keyring: Keyring,
        store: KillStore,
        trust: Callable[[], TrustView],
        nudge: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._participant = participant
        self._keyring = keyring
        self._store = store
        self._trust = trust
        self._nudge = nudge
        self._clock = clock
        keyring.forbid(store.killed_kids())

    def kill(
        self, kid: bytes, reason: RevocationReason, request: Request, encode: Callable[[KilledKey], bytes]
    ) -> bytes:
        """Kills a LIVE or PAPER key of this participant; durable when it returns. Blocks.

        Raises InvalidInputError when the trust files name no such key of this participant.
        """
        now = self._clock.now()
        earlier = self._store.find_response(request, now)
        if earlier is not None:
            return earlier
        purpose = self._purpose(kid)
        already = kid in self._store.killed_kids()

        def answer(codes_out: int) -> bytes:
            return encode(KilledKey(codes_out, self._next(kid, purpose, now), already))

        response = self._store.kill_key(kid, reason, request, answer, now)
        self._keyring.forbid({kid})
        self._nudge()
        return response

    def holders(
        self, kid: bytes | None, after: bytes, limit: int, expires_from: int = 0
    ) -> Sequence[HeldCode]:
        """The next holders who have a code of this key (None: of any) that expires then or later. Blocks."""
        # a code that expires now is over
        return self._store.codes_under(kid, after, limit, max(self._clock.now(), expires_from - 1))

    def _purpose(self, kid: bytes) -> KeyPurpose:
        issuer = self._trust().issuers.get(self._participant)
        key = None if issuer is None else issuer.keys.get(kid)
        if issuer is not None and kid in {kid_of(public) for public in issuer.live_keys}:
            raise InvalidInputError(
                f"{kid.hex()} is the live key (HEAD): no code depends on it. `province-node keys compromise` begins "
                "its rotation",
                fields={"kid": "not a LIVE or PAPER key"},
            )
        if key is None:
            raise InvalidInputError(
                f"participant {self._participant} has published no key {kid.hex()}: "
                "`province-node keys list` shows those there are",
                fields={"kid": "no published key of this participant"},
            )
        if key.purpose not in _CODE_PURPOSES:
            raise InvalidInputError(
                f"{kid.hex()} is a key for {key.purpose}: no code depends on it. `province-node keys "
                "compromise` makes another one, and the request without it",
                fields={"kid": "not a LIVE or PAPER key"},
            )
        return key.purpose

    def _next(self, kid: bytes, purpose: KeyPurpose, now: int) -> bytes | None:
        issuer = self._trust().issuers.get(self._participant)
        try:
            return kid_of(self._keyring.signing_key(purpose, issuer, now, without=kid).public)
        except PreconditionError:
            return None
