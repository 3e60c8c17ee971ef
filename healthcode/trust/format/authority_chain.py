"""Authority chains: the sets of keys that may speak for a participant, each handed over by the set before it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from healthcode.errors import Reason, SignatureError, TrustError
from healthcode.signing.ed25519 import PrivateKey, is_valid_point, kid
from healthcode.trust.format.json_files import AuthorityLink, KeyProof
from healthcode.wire.cbor import encode
from healthcode.wire.cose import Context, sign_detached, verify_detached

__all__ = [
    "Consents",
    "is_without_handover",
    "link_digest",
    "link_mark",
    "new_link",
    "sign_handover",
    "sign_possession",
    "verify_chain",
    "verify_extension",
    "verify_link",
    "verify_possession",
    "verify_threshold_of",
]


Consents = Mapping[str, str]
"""Root's consents to links without a handover: `NN/seq` → SHA-256 (hex) of the link's statement."""

_NONE: Consents = MappingProxyType({})


# Each statement names the participant, the realm (as external data) and the link before, so no proof can be used
# elsewhere.
def _statement(participant: str, link: AuthorityLink, previous: AuthorityLink | None) -> bytes:
    # one level is enough: the handover to the previous link covered the level before it
    before = None if previous is None else hashlib.sha256(_fields(participant, previous, None)).digest()
    return _fields(participant, link, before)


def _fields(participant: str, link: AuthorityLink, before: bytes | None) -> bytes:
    return encode([participant, link.seq, list(link.keys), link.threshold, link.created, before])


def link_digest(participant: str, link: AuthorityLink, previous: AuthorityLink | None) -> bytes:
    """SHA-256 of the statement that a link's signatures are over. Root consents to this digest."""
    return hashlib.sha256(_statement(participant, link, previous)).digest()


def link_mark(link: AuthorityLink) -> str:
    """A short hash of a link's keys, threshold and time, to tell links apart. No signature is over it."""
    body = f"{link.seq}/{link.threshold}/{link.created}/".encode() + b"".join(link.keys)
    return hashlib.sha256(body).hexdigest()[:32]


def is_without_handover(link: AuthorityLink) -> bool:
    """Whether a later link lacks the consent of the set before it."""
    return link.seq > 1 and not link.handover


def new_link(
    participant: str,
    keys: Sequence[PrivateKey],
    threshold: int,
    realm: str,
    *,
    created: int,
    previous: AuthorityLink | None = None,
    previous_keys: Sequence[PrivateKey] = (),
) -> AuthorityLink:
    """A complete link, if all keys are at hand (development realms and tests)."""
    link = AuthorityLink(
        seq=1 if previous is None else previous.seq + 1,
        keys=tuple(key.public for key in keys),
        threshold=threshold,
        created=created,
    )
    possession = tuple(sign_possession(participant, link, previous, key, realm) for key in keys)
    handover = tuple(sign_handover(participant, link, previous, key, realm) for key in previous_keys)
    return link.model_copy(update={"possession": possession, "handover": handover})


def sign_possession(
    participant: str, link: AuthorityLink, previous: AuthorityLink | None, key: PrivateKey, realm: str
) -> KeyProof:
    """Proof by one of the link's own keys that its owner holds it."""
    statement = _statement(participant, link, previous)
    return KeyProof(key=key.public, signature=sign_detached(statement, key, Context.POSSESSION, realm))


def sign_handover(
    participant: str, link: AuthorityLink, previous: AuthorityLink | None, key: PrivateKey, realm: str
) -> KeyProof:
    """Consent to the link by a key of the set before it."""
    statement = _statement(participant, link, previous)
    return KeyProof(key=key.public, signature=sign_detached(statement, key, Context.AUTHORITY_LINK, realm))


def verify_link(
    participant: str,
    previous: AuthorityLink | None,
    link: AuthorityLink,
    realm: str,
    consents: Consents = _NONE,
) -> None:
    """Check one link against the one before it. `consents` are those of the root in force.

    Raises as verify_possession, and SignatureError(SIGNATURE_THRESHOLD) if the handover has too
    few signatures.
    """
    verify_possession(participant, previous, link, realm)
    if previous is None:
        return
    # If an authority is lost, root can consent instead, with its own threshold and for everyone to see. Clients that
    # accepted another link make such a link wait (accepted_chain.py).
    if is_without_handover(link) and _is_consented(participant, previous, link, consents):
        return
    _verify_handover(participant, previous, link, realm)


def _is_consented(participant: str, previous: AuthorityLink, link: AuthorityLink, consents: Consents) -> bool:
    return consents.get(f"{participant}/{link.seq}") == link_digest(participant, link, previous).hex()


def verify_threshold_of(participant: str, link: AuthorityLink) -> None:
    """Check that a link's keys differ and can reach its threshold. Raises SignatureError(SIGNATURE_THRESHOLD)."""
    if len(set(link.keys)) != len(link.keys) or link.threshold > len(link.keys):
        raise SignatureError(
            f"participant {participant}: authority link {link.seq} has a duplicate key, or a threshold above its "
            "number of keys",
            reason=Reason.SIGNATURE_THRESHOLD,
        )


def verify_possession(
    participant: str, previous: AuthorityLink | None, link: AuthorityLink, realm: str
) -> None:
    """Check a link's seq, and the proof of possession of each of its keys; not its handover.

    Raises TrustError(VERSION_CONFLICT) for a wrong seq, SignatureError(POSSESSION_UNPROVEN)
    for a key that is no valid point or has no proof.
    """
    where = f"participant {participant}: authority link {link.seq}"
    expected = 1 if previous is None else previous.seq + 1
    if link.seq != expected:
        raise TrustError(f"{where} is in the place of link {expected}", reason=Reason.VERSION_CONFLICT)
    verify_threshold_of(participant, link)
    statement = _statement(participant, link, previous)
    proofs = {proof.key: proof.signature for proof in link.possession}
    for key in link.keys:
        if not is_valid_point(key):
            raise SignatureError(
                f"{where}: key {kid(key).hex()} is not a valid Ed25519 key", reason=Reason.POSSESSION_UNPROVEN
            )
        signature = proofs.get(key)
        if signature is None or not verify_detached(statement, signature, key, Context.POSSESSION, realm):
            raise SignatureError(
                f"{where}: key {kid(key).hex()} has no proof of possession", reason=Reason.POSSESSION_UNPROVEN
            )


def _verify_handover(participant: str, previous: AuthorityLink, link: AuthorityLink, realm: str) -> None:
    where = f"participant {participant}: authority link {link.seq}"
    statement = _statement(participant, link, previous)
    signed = {
        proof.key
        for proof in link.handover
        if proof.key in previous.keys
        and verify_detached(statement, proof.signature, proof.key, Context.AUTHORITY_LINK, realm)
    }
    if len(signed) < previous.threshold:
        raise SignatureError(
            f"{where} is handed over by {len(signed)} of the {previous.threshold} keys it needs "
            f"from link {previous.seq}",
            reason=Reason.SIGNATURE_THRESHOLD,
        )


def verify_chain(
    participant: str, chain: Sequence[AuthorityLink], realm: str, consents: Consents = _NONE
) -> AuthorityLink:
    """Check a whole chain; returns its newest link. Raises as verify_link, and TrustError for an empty chain."""
    previous: AuthorityLink | None = None
    for link in chain:
        verify_link(participant, previous, link, realm, consents)
        previous = link
    if previous is None:
        raise TrustError(f"participant {participant} has an empty authority chain")
    return previous


def verify_extension(
    participant: str,
    accepted: Sequence[AuthorityLink],
    chain: Sequence[AuthorityLink],
    realm: str,
    consents: Consents = _NONE,
) -> AuthorityLink:
    """Check that `chain` begins with the accepted chain; returns its newest link.

    Raises TrustError(AUTHORITY_EXISTS) if it does not, and as verify_chain. Proofs are part of a
    link: a link with other proofs is another link.
    """
    if tuple(chain[: len(accepted)]) != tuple(accepted):
        raise TrustError(
            f"participant {participant}: the authority chain does not extend the one accepted before "
            f"(link {len(accepted)}); somebody replaced an authority without its consent",
            reason=Reason.AUTHORITY_EXISTS,
        )
    previous = accepted[-1] if accepted else None
    for link in chain[len(accepted) :]:
        verify_link(participant, previous, link, realm, consents)
        previous = link
    if previous is None:
        raise TrustError(f"participant {participant} has an empty authority chain")
    return previous
