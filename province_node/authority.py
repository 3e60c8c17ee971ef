"""The province's authority: m of n offline keys that say which keys, CA and endpoints its node has.

It runs on another machine than the node, opens no socket, and reads and writes
files alone:

    request.json   node → authority   what the node would like published (`ProvinceRequest`)
    bundle.json    authority → node   the same, signed (`JoinRequest`: authority link,
                                      TUF metadata of role province-NN, province.json)

Each key holder adds a signature to the bundle; at the threshold it is complete.
Before signing, every key of the request must prove its possession, and the holder
sees a plain diff against what was signed last. One version is signed with one
content: signing another needs to be said (`replace`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from healthcode.clock import rfc3339
from healthcode.errors import ConfigurationError, ConflictError, InvalidInputError, Reason, SignatureError
from healthcode.signing.ed25519 import PrivateKey, is_valid_point, kid
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.admission import CurrentProvince, check_province_publication
from healthcode.trust.delegation import delegator_of
from healthcode.trust.document import (
    AuthorityLink,
    Document,
    Key32,
    ParticipantCode,
    ProvinceDocument,
    ProvinceKey,
    Time,
    decode_document,
    encode_document,
)
from healthcode.trust.issuer import AuthorityPart
from healthcode.trust.join import JoinRequest, decode_join_request, encode_join_request
from healthcode.trust.layout import authority_role
from healthcode.trust.link import (
    new_link,
    sign_handover,
    verify_key_possession,
    verify_link,
    verify_possession,
)
from healthcode.trust.metadata import (
    Targets,
    decode_metadata,
    new_province_metadata,
    sign_metadata,
    to_bytes,
)
from province_node.file import read_bounded, write_durable

__all__ = [
    "Authority",
    "HandoverDocument",
    "ProvinceRequest",
    "bundle_digest",
    "check_new_authority",
    "decode_bundle",
    "decode_handover",
    "decode_link",
    "decode_request",
    "describe_change",
    "encode_handover",
    "encode_link",
    "encode_request",
    "missing_signatures",
    "province_of",
    "verify_bundle",
]

MAX_REQUEST_BYTES = 131_072
AUTHORITY_FILE = "authority.json"
HISTORY_FOLDER = "history"


class AuthorityDocument(Document):
    """authority.json: whose authority this is, and its link of the chain. Nothing in it is secret."""

    format: Literal["healthcode/authority/1"] = "healthcode/authority/1"
    realm: str
    participant: ParticipantCode
    link: AuthorityLink
    previous: AuthorityLink | None = None


class HandoverDocument(Document):
    """handover.json: the link of a new authority, with the consents that it has so far of the one before."""

    format: Literal["healthcode/handover/1"] = "healthcode/handover/1"
    realm: str
    participant: ParticipantCode
    previous: AuthorityLink
    link: AuthorityLink

    @property
    def missing(self) -> int:
        """How many consents it still needs."""
        return max(0, self.previous.threshold - len(self.link.handover))


class ProvinceRequest(Document):
    """request.json: what a node asks its authority to sign, as version `version` of its role."""

    format: Literal["healthcode/province-request/1"] = "healthcode/province-request/1"
    realm: str
    participant: ParticipantCode
    version: int = Field(ge=1)
    live_public: Key32
    created: Time
    province: ProvinceDocument


def decode_handover(data: bytes) -> HandoverDocument:
    """Untrusted bytes as a handover: handover.json, or authority.json of an authority that follows another.

    Raises DecodeError, and InvalidInputError for an authority that follows none.
    """
    if b'"healthcode/authority/1"' not in data:
        return decode_document(HandoverDocument, data, MAX_REQUEST_BYTES)
    document = decode_document(AuthorityDocument, data, MAX_REQUEST_BYTES)
    if document.previous is None:
        raise InvalidInputError("this authority follows no other: make it with `authority init --after FILE`")
    return HandoverDocument(
        realm=document.realm,
        participant=document.participant,
        previous=document.previous,
        link=document.link,
    )


def decode_link(data: bytes, *, realm: str, participant: str) -> AuthorityLink:
    """The link of an authority, from its authority.json or from what `province-node chain` wrote.

    Raises DecodeError, InvalidInputError for another realm or participant.
    """
    document = decode_document(AuthorityDocument, data, MAX_REQUEST_BYTES)
    if (document.realm, document.participant) != (realm, participant):
        raise InvalidInputError(
            f"the file is of participant {document.participant} in realm {document.realm}, not of {participant} "
            f"in {realm}"
        )
    return document.link


def encode_link(link: AuthorityLink, *, realm: str, participant: str) -> bytes:
    """A link as a file, for `authority init --after`."""
    return encode_document(AuthorityDocument(realm=realm, participant=participant, link=link))


def encode_handover(handover: HandoverDocument) -> bytes:
    """The bytes of handover.json."""
    return encode_document(handover)


def encode_request(request: ProvinceRequest) -> bytes:
    """The bytes of request.json."""
    return encode_document(request)


def decode_request(data: bytes) -> ProvinceRequest:
    """Untrusted bytes as a request. Raises DecodeError."""
    return decode_document(ProvinceRequest, data, MAX_REQUEST_BYTES)


def decode_bundle(data: bytes) -> JoinRequest:
    """Untrusted bytes as a bundle, complete or not. Raises DecodeError."""
    return decode_join_request(data)


def bundle_digest(bundle: JoinRequest) -> str:
    """SHA-256 of what each key holder signs, hex: the same for all of them, so they can read it out to each other."""
    return hashlib.sha256(decode_metadata(bundle.metadata, Targets).signed_bytes).hexdigest()


def province_of(bundle: JoinRequest) -> ProvinceDocument:
    """What the bundle says of the node. Raises DecodeError."""
    return decode_document(ProvinceDocument, bundle.province_json, MAX_REQUEST_BYTES)


def missing_signatures(bundle: JoinRequest) -> int:
    """How many valid signatures of the link's keys the bundle still needs; 0 when it is complete."""
    role = authority_role(bundle.participant)
    metadata = decode_metadata(bundle.metadata, Targets)
    result = delegator_of(bundle.participant, bundle.link).get_verification_result(
        role, metadata.signed_bytes, metadata.signatures
    )
    return max(0, result.threshold - len(result.signed))


def verify_bundle(bundle: JoinRequest, now: int) -> AuthorityPart:
    """Checks a complete bundle as the registry will, but for its place in the order of versions.

    Raises SignatureError, TrustError, DecodeError, PreconditionError.
    """
    version = decode_metadata(bundle.metadata, Targets).signed.version
    return check_province_publication(
        bundle.participant,
        CurrentProvince(authority_version=version - 1),
        delegator_of(bundle.participant, bundle.link),
        bundle.metadata,
        bundle.province_json,
        bundle.realm,
        now,
    )


def describe_change(before: ProvinceDocument | None, after: ProvinceDocument) -> list[str]:
    """A plain diff, a line each: `+` comes, `-` goes, `~` changes."""
    old_keys = {key.kid: key for key in before.keys} if before is not None else {}
    new_keys = {key.kid: key for key in after.keys}
    lines = [f"+ {_key_line(key)}" for key in after.keys if key.kid not in old_keys]
    lines += [f"- {_key_line(key)}" for code, key in old_keys.items() if code not in new_keys]
    lines += [
        f"~ {_key_line(old_keys[key.kid])}  becomes  {_key_line(key)}"
        for key in after.keys
        if key.kid in old_keys and old_keys[key.kid] != key
    ]
    old_ca = {_fingerprint(pem) for pem in before.tls_ca} if before is not None else set()
    new_ca = {_fingerprint(pem) for pem in after.tls_ca}
    lines += [f"+ TLS CA {name}" for name in sorted(new_ca - old_ca)]
    lines += [f"- TLS CA {name}" for name in sorted(old_ca - new_ca)]
    old_ends = dict(before.endpoints) if before is not None else {}
    new_ends = dict(after.endpoints)
    lines += [f"+ endpoint {name} {new_ends[name]}" for name in sorted(new_ends.keys() - old_ends.keys())]
    lines += [f"- endpoint {name} {old_ends[name]}" for name in sorted(old_ends.keys() - new_ends.keys())]
    lines += [
        f"~ endpoint {name} {old_ends[name]}  becomes  {new_ends[name]}"
        for name in sorted(old_ends.keys() & new_ends.keys())
        if old_ends[name] != new_ends[name]
    ]
    return lines


def _key_line(key: ProvinceKey) -> str:
    return f"{key.purpose} key {key.kid.hex()} from {rfc3339(key.not_before)} until {rfc3339(key.not_after)}"


def _fingerprint(pem: str) -> str:
    return f"sha256:{hashlib.sha256(pem.encode()).hexdigest()[:32]} (of the PEM)"


def check_new_authority(folder: Path, *, keys: int, threshold: int) -> None:
    """Refuses what could not be made in `folder`. Raises InvalidInputError, ConfigurationError."""
    if not 1 <= threshold <= keys <= 16:
        raise InvalidInputError(f"a threshold of {threshold} of {keys} keys cannot be")
    if (folder / AUTHORITY_FILE).exists():
        raise ConfigurationError(f"{folder} holds an authority already; choose another folder")


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority folder: authority.json, the key files that lie in it, and what was signed before."""

    folder: Path
    document: AuthorityDocument

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        participant: str,
        realm: str,
        passphrases: Sequence[bytes],
        threshold: int,
        now: int,
        development: bool = False,
        previous: AuthorityLink | None = None,
    ) -> Authority:
        """A new authority with a key for each passphrase, in files authority-1.key and so on.

        `previous` is the link of the authority that it follows. Raises
        ConfigurationError when the folder holds one already.
        """
        check_new_authority(folder, keys=len(passphrases), threshold=threshold)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = [PrivateKey.generate() for _ in passphrases]
        link = new_link(participant, keys, threshold, realm, created=now, previous=previous)
        for number, (key, passphrase) in enumerate(zip(keys, passphrases, strict=True), start=1):
            create_key_file(
                folder / f"authority-{number}.key",
                key,
                passphrase,
                purpose=KeyPurpose.AUTHORITY,
                realm=realm,
                participant=participant,
                name=f"authority-{number}",
                created=now,
                cost="development" if development else "production",
            )
        document = AuthorityDocument(realm=realm, participant=participant, link=link, previous=previous)
        write_durable(folder / AUTHORITY_FILE, encode_document(document))
        return cls(folder, document)

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """The authority in `folder`. Raises ConfigurationError, DecodeError."""
        path = folder / AUTHORITY_FILE
        if not path.exists():
            raise ConfigurationError(f"{path} is missing: run `province-node authority init`, or name --dir")
        document = decode_document(
            AuthorityDocument, read_bounded(path, MAX_REQUEST_BYTES), MAX_REQUEST_BYTES
        )
        return cls(folder, document)

    def last_completed(self, *, before: int) -> JoinRequest | None:
        """The newest bundle under version `before` that has all its signatures: what a change is shown against.

        A version that some have signed and others not is no step to compare with.
        """
        versions = (int(path.stem) for path in (self.folder / HISTORY_FOLDER).glob("*.json"))
        for version in sorted((each for each in versions if each < before), reverse=True):
            bundle = decode_bundle(self._history(version).read_bytes())
            if missing_signatures(bundle) == 0:
                return bundle
        return None

    def hand_over(self, handover: HandoverDocument, keys: Sequence[PrivateKey]) -> HandoverDocument:
        """The handover with the consent of `keys`, which are of this authority.

        Raises InvalidInputError when it follows another authority, SignatureError for a
        key that is not of this one or a new key that nobody proves to hold.
        """
        mine = self.document
        if (handover.realm, handover.participant) != (mine.realm, mine.participant):
            raise InvalidInputError(
                f"the handover is for participant {handover.participant} in realm {handover.realm}"
            )
        if handover.previous != mine.link:
            raise InvalidInputError(
                f"the new authority follows link {handover.previous.seq}, which is not the one of this folder"
            )
        verify_possession(mine.participant, mine.link, handover.link, mine.realm)
        proofs = {proof.key: proof for proof in handover.link.handover}
        for key in keys:
            if key.public not in mine.link.keys:
                raise SignatureError(f"key {kid(key.public).hex()} is not of this authority")
            proofs[key.public] = sign_handover(mine.participant, handover.link, mine.link, key, mine.realm)
        link = handover.link.model_copy(update={"handover": tuple(proofs.values())})
        return handover.model_copy(update={"link": link})

    def accept(self, handover: HandoverDocument) -> Authority:
        """This new authority with its link complete, durably.

        Raises InvalidInputError when it is for another authority, SignatureError
        (SIGNATURE_THRESHOLD) while consents are missing.
        """
        mine = self.document
        if handover.link.model_copy(update={"handover": ()}) != mine.link.model_copy(update={"handover": ()}):
            raise InvalidInputError("this handover is for another authority than the one in this folder")
        verify_link(mine.participant, handover.previous, handover.link, mine.realm)
        document = mine.model_copy(update={"link": handover.link})
        write_durable(self.folder / AUTHORITY_FILE, encode_document(document))
        return Authority(self.folder, document)

    def begin(self, request: ProvinceRequest, *, now: int, replace: bool = False) -> JoinRequest:
        """An unsigned bundle for `request`.

        Raises InvalidInputError (another participant or realm), SignatureError (a key
        without possession), ConflictError (this version was signed with another content).
        """
        mine = self.document
        if (request.realm, request.participant) != (mine.realm, mine.participant):
            raise InvalidInputError(
                f"the request is for participant {request.participant} in realm {request.realm}; this is the "
                f"authority of participant {mine.participant} in realm {mine.realm}"
            )
        province = request.province
        if (province.realm, province.participant) != (mine.realm, mine.participant):
            raise InvalidInputError(
                "the province.json inside the request is for another participant or realm"
            )
        if not is_valid_point(request.live_public):
            raise SignatureError("the HEAD key of the request is no valid Ed25519 key")
        for key in province.keys:
            verify_key_possession(mine.participant, key, mine.realm)
        province_json = encode_document(province)
        self._check_history(request.version, province_json, replace=replace)
        metadata = new_province_metadata(
            mine.participant,
            version=request.version,
            province_json=province_json,
            live_public=request.live_public,
            now=now,
        )
        return JoinRequest(
            realm=mine.realm,
            participant=mine.participant,
            link=mine.link,
            metadata=to_bytes(metadata),
            province_json=province_json,
        )

    def sign(
        self, bundle: JoinRequest, keys: Sequence[PrivateKey], *, now: int, replace: bool = False
    ) -> JoinRequest:
        """The bundle with the signatures of `keys` added; kept in the history.

        Raises SignatureError for a key that is not of this authority, or when the
        complete bundle does not hold; ConflictError as `begin`.
        """
        if bundle.link != self.document.link or bundle.realm != self.document.realm:
            raise InvalidInputError("the bundle belongs to another authority")
        metadata = decode_metadata(bundle.metadata, Targets)
        self._check_history(metadata.signed.version, bundle.province_json, replace=replace)
        for key in keys:
            if key.public not in bundle.link.keys:
                raise SignatureError(f"key {kid(key.public).hex()} is not of this authority")
            sign_metadata(metadata, key)
        signed = bundle.model_copy(update={"metadata": to_bytes(metadata)})
        if missing_signatures(signed) == 0:
            verify_bundle(signed, now)
        history = self._history(metadata.signed.version)
        history.parent.mkdir(exist_ok=True, mode=0o700)
        write_durable(history, encode_join_request(signed))
        return signed

    def _history(self, version: int) -> Path:
        return self.folder / HISTORY_FOLDER / f"{version}.json"

    def _check_history(self, version: int, province_json: bytes, *, replace: bool) -> None:
        path = self._history(version)
        if replace or not path.exists():
            return
        if decode_bundle(path.read_bytes()).province_json != province_json:
            raise ConflictError(
                f"version {version} was signed before with another content ({path}); if that was never "
                "published, sign again with --replace, else make the request anew from the running node",
                reason=Reason.VERSION_CONFLICT,
            )
