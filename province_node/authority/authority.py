"""The province's authority: m of n offline keys that sign which keys, CA and endpoints its node has.

It runs on a machine without network, and only reads and writes files: request.json in, bundle.json out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, ConflictError, InvalidInputError, Reason, SignatureError
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import write_output
from healthcode.storage.reading import read_bounded
from healthcode.trust.format.authority_chain import new_link, sign_handover, verify_link, verify_possession
from healthcode.trust.format.json_files import AuthorityLink, encode_json_file
from healthcode.trust.format.metadata import Targets, decode_metadata, sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_province_metadata
from healthcode.trust.verify.join_request import JoinRequest, encode_join_request
from province_node.authority.bundle import (
    decode_bundle,
    describe_change,
    missing_signatures,
    verify_bundle,
    verify_bundle_content,
)
from province_node.authority.handover import (
    MAX_HANDOVER_BYTES,
    AuthorityFile,
    HandoverFile,
    decode_authority,
    decode_handover,
    encode_handover,
)
from province_node.authority.request import ProvinceRequest, verify_request

__all__ = ["AUTHORITY_FILE", "Authority", "check_new_authority"]

AUTHORITY_FILE = "authority.json"
HISTORY_FOLDER = "history"
HANDED_OVER_FILE = "handed-over.json"


def check_new_authority(folder: Path, *, keys: int, threshold: int) -> None:
    """Raises InvalidInputError for an impossible threshold, ConfigurationError if `folder` has an authority."""
    if not 1 <= threshold <= keys <= 16:
        raise InvalidInputError(f"a threshold of {threshold} of {keys} keys cannot be")
    if (folder / AUTHORITY_FILE).exists():
        raise ConfigurationError(f"{folder} has an authority already; choose another folder")


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority folder: authority.json, its key files, and the bundles that were signed before."""

    folder: Path
    file: AuthorityFile

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
        """Makes an authority with a key for each passphrase, in files authority-1.key and so on.

        `previous` is the link of the authority that it follows. Raises ConfigurationError when the
        folder already has an authority.
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
        file = AuthorityFile(realm=realm, participant=participant, link=link, previous=previous)
        write_output(folder / AUTHORITY_FILE, encode_json_file(file))
        return cls(folder, file)

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """The authority in `folder`. Raises ConfigurationError, DecodeError."""
        path = folder / AUTHORITY_FILE
        if not path.exists():
            raise ConfigurationError(f"{path} is missing: run `province-node authority init`, or name --dir")
        return cls(folder, decode_authority(read_bounded(path, MAX_HANDOVER_BYTES)))

    def last_completed(self, *, before: int) -> JoinRequest | None:
        """The newest complete bundle below version `before`, to which a change is compared."""
        # an incomplete bundle was never published, so it is not compared to
        versions = (int(path.stem) for path in (self.folder / HISTORY_FOLDER).glob("*.json"))
        for version in sorted((each for each in versions if each < before), reverse=True):
            bundle = decode_bundle(self._history(version).read_bytes())
            if missing_signatures(bundle) == 0:
                return bundle
        return None

    @property
    def successor(self) -> AuthorityLink | None:
        """The new authority to which a key of this folder consented; None when there is none."""
        path = self.folder / HANDED_OVER_FILE
        if not path.exists():
            return None
        return decode_handover(read_bounded(path, MAX_HANDOVER_BYTES)).link

    def hand_over(self, handover: HandoverFile, keys: Sequence[PrivateKey]) -> HandoverFile:
        """The handover with the consent of `keys`, which are keys of this authority.

        Raises InvalidInputError when it follows another authority, SignatureError for a key of another
        authority, or for a new key without proof of possession.
        """
        mine = self.file
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
        signed = handover.model_copy(update={"link": link})
        # a later signer with this folder is told of it
        write_output(self.folder / HANDED_OVER_FILE, encode_handover(signed))
        return signed

    def accept(self, handover: HandoverFile) -> Authority:
        """This new authority with its complete link; durable when it returns.

        Raises InvalidInputError when the handover is for another authority, SignatureError
        (SIGNATURE_THRESHOLD) while consents are missing.
        """
        mine = self.file
        if handover.link.model_copy(update={"handover": ()}) != mine.link.model_copy(update={"handover": ()}):
            raise InvalidInputError("this handover is for another authority than the one in this folder")
        verify_link(mine.participant, handover.previous, handover.link, mine.realm)
        file = mine.model_copy(update={"link": handover.link})
        write_output(self.folder / AUTHORITY_FILE, encode_json_file(file))
        return Authority(self.folder, file)

    def begin(self, request: ProvinceRequest, *, now: int, replace: bool = False) -> JoinRequest:
        """An unsigned bundle for `request`. `replace` permits another content for a version that was signed before.

        Raises InvalidInputError (another participant or realm), SignatureError (a key without proof of
        possession), ConflictError (this version was signed with another content).
        """
        mine = self.file
        verify_request(request, participant=mine.participant, realm=mine.realm)
        province_json = encode_json_file(request.province)
        metadata = new_province_metadata(
            mine.participant,
            version=request.version,
            province_json=province_json,
            live_public=request.live_public,
            live_possession=request.live_possession,
            now=now,
        )
        bundle = JoinRequest(
            realm=mine.realm,
            participant=mine.participant,
            link=mine.link,
            metadata=to_bytes(metadata),
            province_json=province_json,
        )
        self._check_history(bundle, replace=replace)
        return bundle

    def sign(
        self, bundle: JoinRequest, keys: Sequence[PrivateKey], *, now: int, replace: bool = False
    ) -> JoinRequest:
        """The bundle with the signatures of `keys` added; a copy goes to the history.

        Raises SignatureError for a key of another authority, or when the complete bundle is not valid;
        what verify_bundle_content raises; ConflictError as `begin`.
        """
        mine = self.file
        if (bundle.realm, bundle.participant, bundle.link) != (mine.realm, mine.participant, mine.link):
            raise InvalidInputError("the bundle belongs to another authority")
        self._check_history(bundle, replace=replace)
        metadata = decode_metadata(bundle.metadata, Targets)
        for key in keys:
            if key.public not in bundle.link.keys:
                raise SignatureError(f"key {kid(key.public).hex()} is not of this authority")
            sign_metadata(metadata, key)
        signed = bundle.model_copy(update={"metadata": to_bytes(metadata)})
        if missing_signatures(signed) == 0:
            verify_bundle(signed, now)
        history = self._history(metadata.signed.version)
        history.parent.mkdir(exist_ok=True, mode=0o700)
        write_output(history, encode_join_request(signed))
        return signed

    def _history(self, version: int) -> Path:
        return self.folder / HISTORY_FOLDER / f"{version}.json"

    def _check_history(self, bundle: JoinRequest, *, replace: bool) -> None:
        asked = verify_bundle_content(bundle)
        path = self._history(asked.version)
        if replace or not path.exists():
            return
        if describe_change(verify_bundle_content(decode_bundle(path.read_bytes())), asked):
            raise ConflictError(
                f"version {asked.version} was signed before with another content ({path}); if that was never "
                "published, sign again with --replace, else make a new request from the running node",
                reason=Reason.VERSION_CONFLICT,
            )
