"""A real registry in a folder, founded by a development ceremony, and provinces that publish to it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from healthcode.clock import Clock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.book_file import default_policy_bytes
from healthcode.revocation.day import day_of
from healthcode.revocation.head import DayEntry, Head, encode_head
from healthcode.revocation.list import RevocationList, encode_list
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import read_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.json_files import AuthorityLink, ProvinceFile, encode_json_file
from healthcode.trust.format.key_possession import new_province_key, prove_key
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata, new_province_metadata
from healthcode.trust.verify.join_request import JoinRequest, encode_join_request
from tests.simulator.realm import NOW, fixed_key
from tests.world.clock import ManualClock
from trust_registry.founding.ceremony import hold_ceremony
from trust_registry.founding.plan import FoundingPlan, KeyHolder
from trust_registry.layout import RegistryFolder
from trust_registry.participants.join import Join, receive_join
from trust_registry.proposals.drafts import draft_admission
from trust_registry.proposals.sign import sign_proposal
from trust_registry.registry import Registry, open_registry

__all__ = ["Province", "admit", "found_registry", "operator", "plan", "put_join"]

PASSPHRASE = b"a passphrase for tests"


def plan(
    realm: str = "test-registry", *, listen: str = "127.0.0.1:7443", public: str = "127.0.0.1:7444"
) -> FoundingPlan:
    """A development ceremony of three root holders and three operators, two of whom must sign."""
    return FoundingPlan(
        realm=realm,
        roots=[KeyHolder(KeyPurpose.ROOT, f"root-{n}", f"root-{n}", PASSPHRASE) for n in (1, 2, 3)],
        root_threshold=2,
        operators=[
            KeyHolder(KeyPurpose.OPERATOR, f"operator-{n}", f"operator-{n}", PASSPHRASE) for n in (1, 2, 3)
        ],
        operator_threshold=2,
        development=True,
        policy=default_policy_bytes(),
        listen=listen,
        public_listen=public,
        metrics_listen=None,
        endpoint=listen,
        public_endpoint=public,
    )


def found_registry(
    folder: Path, *, clock: Clock | None = None, ceremony: FoundingPlan | None = None
) -> Registry:
    """A founded registry, opened with its online keys. Those of one plan and hour have the same keys."""
    clock = clock or ManualClock()
    place = RegistryFolder(folder)
    if ceremony is None and clock.now() == NOW:
        shutil.copytree(_founded_at_now().name, folder, symlinks=True)
    else:
        hold_ceremony(ceremony or plan(), place, clock, confirm=lambda step: True)
    return open_registry(place, clock, {})


# a ceremony costs a hundred times a copy; the folder is removed when the process ends
@cache
def _founded_at_now() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="founded-")
    hold_ceremony(plan(), RegistryFolder(Path(folder.name)), ManualClock(), confirm=lambda step: True)
    return folder


def operator(registry: Registry, name: str) -> PrivateKey:
    """A key holder's key by the name of its file, e.g. operator-1 or root-2."""
    return read_key_file(registry.folder.ceremony / f"{name}.key", PASSPHRASE).private


def put_join(registry: Registry, province: Province) -> Join:
    """Submits a province's join request as the API does."""
    now = registry.clock.now()
    received = receive_join(registry.joins, province.join_request(now), registry.repository.published(), now)
    return received.join


def admit(registry: Registry, *provinces: Province) -> None:
    """Onboards provinces by two operators."""
    joins = [put_join(registry, province) for province in provinces]
    proposal = draft_admission(registry.repository, registry.proposals, joins)
    for name in ("operator-1", "operator-2"):
        sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, name))


class Province:
    """A participant's authority and node. What it submits is right unless a test changes it."""

    def __init__(self, code: str, realm: str, *, name: str = "", now: int = NOW) -> None:
        self.code = code
        self.realm = realm
        self.now = now
        self.authority = [fixed_key(f"{realm} {code}{name} authority-{n}") for n in (1, 2, 3)]
        self.live_key = fixed_key(f"{realm} {code}{name} live")
        self.code_key = fixed_key(f"{realm} {code}{name} code")
        self.ca = make_ca(f"{realm} {code} CA", days=30, now=now)
        today = day_of(now)
        self.head = Head(1, realm, code, today - 1, today + 40, {})
        self.lists: dict[str, bytes] = {}

    @property
    def link(self) -> AuthorityLink:
        return new_link(self.code, self.authority, 2, self.realm, created=self.now)

    def leaf(self, *, named: str | None = None) -> CertifiedKey:
        """A certificate of this province's CA, by default in its own name."""
        peer = PeerId(self.realm, PeerKind.PROVINCE, named or self.code)
        return issue_leaf(self.ca, peer, days=10, now=self.now)

    def document(self, **changes: object) -> bytes:
        """Its province.json."""
        key = new_province_key(
            self.code,
            KeyPurpose.LIVE,
            self.code_key,
            self.realm,
            not_before=self.now - 3600,
            not_after=self.now + 6 * 86_400,
        )
        document = ProvinceFile(
            realm=self.realm,
            participant=self.code,
            keys=(key,),
            tls_ca=(self.ca.certificate_pem.decode(),),
            endpoints={"federation": "127.0.0.1:7100"},
        )
        return encode_json_file(document.model_copy(update=changes))

    def publication(
        self,
        version: int,
        *,
        signers: Iterable[PrivateKey] | None = None,
        now: int | None = None,
        **changes: object,
    ) -> tuple[bytes, bytes]:
        """(metadata, province.json) of its authority at a version."""
        data = self.document(**changes)
        metadata = new_province_metadata(
            self.code,
            version=version,
            province_json=data,
            live_public=self.live_key.public,
            live_possession=prove_key(self.code, KeyPurpose.HEAD, self.live_key, self.realm),
            now=self.now if now is None else now,
        )
        for key in self.authority[:2] if signers is None else signers:
            sign_metadata(metadata, key)
        return to_bytes(metadata), data

    def join_request(self, now: int | None = None, *, follows: Province | None = None) -> bytes:
        """Its request to join; with `follows`, as the authority that takes over from that one."""
        link = self.link
        if follows is not None:
            link = new_link(
                self.code,
                self.authority,
                2,
                self.realm,
                created=self.now,
                previous=follows.link,
                previous_keys=follows.authority[:2],
            )
        metadata, data = self.publication(link.seq, now=now)
        return encode_join_request(
            JoinRequest(
                realm=self.realm,
                participant=self.code,
                link=link,
                metadata=metadata,
                province_json=data,
            )
        )

    def revoke(self, day: int, indices: Iterable[int], *, version: int | None = None) -> None:
        """Replaces the members of a day's list, in the next head; `version` is the list's."""
        members = sorted(indices)
        data = encode_list(RevocationList(self.realm, self.code, day, members))
        sha256 = hashlib.sha256(data)
        was = self.head.days.get(day)
        next_version = version or (1 if was is None else was.version + 1)
        entry = DayEntry(next_version, len(members), sha256.digest(), len(data))
        self.lists[sha256.hexdigest()] = data
        self.head = replace(self.head, version=self.head.version + 1, days={**self.head.days, day: entry})

    def live_publication(self, version: int, *, signer: PrivateKey | None = None) -> tuple[bytes, bytes]:
        """(metadata, head) of its node at a version; the head has the same version."""
        head = encode_head(replace(self.head, version=version))
        metadata = new_live_metadata(self.code, version=version, head=head, now=self.now)
        sign_metadata(metadata, signer or self.live_key)
        return to_bytes(metadata), head

    def spool(self, folder: Path) -> Mapping[str, Path]:
        """Writes its lists as uploaded files; their paths by hash."""
        folder.mkdir(exist_ok=True)
        for sha256_hex, data in self.lists.items():
            (folder / sha256_hex).write_bytes(data)
        return {sha256_hex: folder / sha256_hex for sha256_hex in self.lists}
