"""The identity of a peer: the one URI in its certificate, such as spiffe://cn.healthcode/province/31.

One identity has one spelling. It counts only under the CA that is published for it; the caller checks that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from healthcode.errors import InvalidInputError, Reason, UnauthenticatedError
from healthcode.identity.realm import Realm, check_realm

__all__ = ["PeerId", "PeerKind", "decode_peer_uri"]


class PeerKind(StrEnum):
    """The kind of a peer."""

    REGISTRY = "REGISTRY"
    GATEWAY = "GATEWAY"
    PROVINCE = "PROVINCE"  # /province/31: the node of a participant
    ISSUER = "ISSUER"  # /issuer/31/NAME: a back end that issues and revokes
    SOURCE = "SOURCE"  # /source/31/NAME: reports evidence, such as a laboratory
    OFFICER = "OFFICER"  # /officer/31/NAME: a person with a role in the officers file
    OPERATOR = "OPERATOR"  # /operator/NAME: a national operator
    INTEGRATOR = "INTEGRATOR"  # /integrator/44/NAME: calls Verify


_OF_A_PROVINCE = frozenset({PeerKind.ISSUER, PeerKind.SOURCE, PeerKind.OFFICER, PeerKind.INTEGRATOR})
_HAS_PARTICIPANT = _OF_A_PROVINCE | {PeerKind.PROVINCE}
_HAS_NAME = _OF_A_PROVINCE | {PeerKind.OPERATOR}
_PARTICIPANT = re.compile(r"[0-9]{2}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_URI = re.compile(r"spiffe://([a-z0-9-]+)\.healthcode/([a-z]+)((?:/[a-z0-9._-]+)*)")
_MAX_URI_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class PeerId:
    """One identity. `participant` and `name` are set for exactly the kinds that have them.

    Raises InvalidInputError when the parts do not make an identity.
    """

    realm: Realm
    kind: PeerKind
    participant: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        check_realm(self.realm)
        self._check("participant", self.participant, _PARTICIPANT, wanted=self.kind in _HAS_PARTICIPANT)
        self._check("name", self.name, _NAME, wanted=self.kind in _HAS_NAME)

    def _check(self, field: str, value: str | None, pattern: re.Pattern[str], *, wanted: bool) -> None:
        if wanted != (value is not None) or (value is not None and pattern.fullmatch(value) is None):
            need = f"a {field} that matches {pattern.pattern}" if wanted else f"no {field}"
            raise InvalidInputError(f"an identity of kind {self.kind} has {need}", fields={field: need})

    @property
    def uri(self) -> str:
        """The URI in the certificate."""
        parts = [self.kind.lower(), self.participant, self.name]
        return f"spiffe://{self.realm}.healthcode/" + "/".join(part for part in parts if part is not None)

    @property
    def dns_name(self) -> str:
        """The name under which this peer serves, e.g. `province-31.healthcode`.

        Raises InvalidInputError for kinds that do not serve.
        """
        if self.kind in _HAS_NAME:
            raise InvalidInputError(f"an identity of kind {self.kind} does not serve and has no DNS name")
        return "-".join(part for part in (self.kind.lower(), self.participant) if part) + ".healthcode"

    def __str__(self) -> str:
        return self.uri


def decode_peer_uri(text: str) -> PeerId:
    """The identity that `text` spells. Raises UnauthenticatedError (IDENTITY_FOREIGN) for anything else."""
    match = _URI.fullmatch(text) if len(text) <= _MAX_URI_CHARACTERS else None
    try:
        if match is not None:
            realm, word, rest = match.groups()
            kind = PeerKind(word.upper())
            parts = rest.split("/")[1:]
            participant = parts.pop(0) if kind in _HAS_PARTICIPANT and parts else None
            name = parts.pop(0) if kind in _HAS_NAME and parts else None
            if not parts:
                return PeerId(realm, kind, participant, name)
    except (ValueError, InvalidInputError):
        pass
    raise UnauthenticatedError(
        f"{text[:128]!r} is not an identity of this federation; an example: spiffe://cn.healthcode/province/31",
        reason=Reason.IDENTITY_FOREIGN,
    )
