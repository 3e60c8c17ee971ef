"""Kills a stolen code key, without waiting for an offline key. The next published key signs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from healthcode.clock import Clock
from healthcode.errors import InvalidInputError, PreconditionError
from healthcode.signing.ed25519 import kid as kid_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from province_node.keys.keyring import Keyring
from province_node.store.protocols import KillStore
from province_node.store.records import HeldCode, Killed, Request, RevocationReason

__all__ = ["KillUseCase", "decode_kid"]

_CODE_PURPOSES = (KeyPurpose.LIVE, KeyPurpose.PAPER)


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
    """Kills code keys of one participant, and lists whose codes they signed."""

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

    def kill(self, kid: bytes, reason: RevocationReason, request: Request) -> Killed:
        """Kills a LIVE or PAPER key of this participant. Blocks.

        Durable when it returns: this node signs with the key no more, and every later head names it. Raises
        InvalidInputError if the trust files name no such key of this participant.
        """
        now = self._clock.now()
        earlier = self._store.find_killed(request, now)
        if earlier is not None:
            return earlier
        purpose = self._purpose(kid)
        killed = self._store.kill_key(kid, reason, request, self._next_kid(kid, purpose, now), now)
        self._keyring.forbid({kid})
        self._nudge()
        return killed

    def holders(
        self, kid: bytes | None, after: bytes, limit: int, expires_from: int = 0
    ) -> Sequence[HeldCode]:
        """The next holders with a code of this key (None: of any) that expires at `expires_from` or later. Blocks."""
        # a code that expires now has expired
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

    def _next_kid(self, kid: bytes, purpose: KeyPurpose, now: int) -> bytes | None:
        issuer = self._trust().issuers.get(self._participant)
        try:
            return kid_of(self._keyring.signing_key(purpose, issuer, now, without=kid).public)
        except PreconditionError:
            return None
