"""A whole realm in memory: national keys, provinces, and the files that a registry would serve.

Keys follow from their names and the time is given, so that each run makes the same bytes.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from healthcode.clock import rfc3339
from healthcode.errors import NotFoundError, Reason, UnavailableError
from healthcode.policy.area import AreaRisk, encode_areas
from healthcode.policy.book_file import default_policy_bytes
from healthcode.policy.words import RiskLevel
from healthcode.revocation.day import day_of
from healthcode.revocation.head import DayEntry, Head, encode_head
from healthcode.revocation.list import RevocationList, encode_list
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import TrustClient
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.json_files import (
    AuthorityLink,
    ParticipantEntry,
    ParticipantsFile,
    ProvinceFile,
    ProvinceKey,
    ServiceEntry,
    encode_json_file,
)
from healthcode.trust.format.key_possession import new_province_key, prove_key
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    authority_role,
    head_path,
    list_file,
    live_role,
    metadata_file,
    province_path,
    target_file,
)
from healthcode.trust.format.metadata import Metadata, Root, Targets, decode_metadata, sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import (
    new_areas_metadata,
    new_live_metadata,
    new_province_metadata,
    new_root,
    new_snapshot,
    new_targets,
    new_timestamp,
)
from healthcode.trust.format.next_metadata import with_province
from healthcode.trust.sources.trust_source import too_large
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code
from tests.world.clock import NOW

__all__ = ["NOW", "PEM", "SimulatedProvince", "SimulatedRealm", "fixed_key"]

# a CA made once; no test uses its key
PEM = """-----BEGIN CERTIFICATE-----
MIIBlzCCAT6gAwIBAgIUAxJpwNWcWU4ZlKSqzf/Hjjb3cGYwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMc2ltdWxhdGVkIENBMCAXDTI1MTEyMTA3MDAwMFoYDzIxMjUx
MDI4MDgwMDAwWjAXMRUwEwYDVQQDDAxzaW11bGF0ZWQgQ0EwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAARIICeNj/o+Ju5iw5nW4HM2E+04SW8oNDoua6ModLV6itD8
TtjwEYZAm+QwvJ6pEud/EwFYdp+gVGDKEAq1PWu8o2YwZDAdBgNVHQ4EFgQUqUKW
c3gBU04+FqcKjips4QxGAXAwEgYDVR0TAQH/BAgwBgEB/wIBADAOBgNVHQ8BAf8E
BAMCAQYwHwYDVR0jBBgwFoAUqUKWc3gBU04+FqcKjips4QxGAXAwCgYIKoZIzj0E
AwIDRwAwRAIgGgTaqhHiyhxdvP0qbEUAhBa9fw/EbjWy/Zf6jg5CQmsCIBOXLBHZ
w4j087Cm2hPhISr7ggbceznko5GCtXTIeGiL
-----END CERTIFICATE-----
"""

_WINDOW_SECONDS = {KeyPurpose.LIVE: 7 * 86_400, KeyPurpose.PAPER: 30 * 86_400}


def fixed_key(name: str) -> PrivateKey:
    """The key that follows from `name`; for tests only."""
    return PrivateKey(hashlib.sha256(f"healthcode simulator {name}".encode()).digest())


@dataclass
class SimulatedProvince:
    """A participant's keys and what it has published. Change it, then publish."""

    code: str
    authority: list[PrivateKey]
    threshold: int
    live_key: PrivateKey
    keys: dict[KeyPurpose, PrivateKey]
    chain: tuple[AuthorityLink, ...]
    document: ProvinceFile
    head: Head
    lists: dict[int, bytes] = field(default_factory=dict)
    revoked: dict[int, set[int]] = field(default_factory=dict)
    authority_version: int = 0
    live_version: int = 0


class SimulatedRealm:
    """National keys, provinces by code, and `files` as a registry serves them. It is a TrustSource.

    It can misbehave: serve other bytes (`tampered`), miss a file (`missing`) or be out of reach (`offline`).
    Dishonest publications are made by changing its parts and publishing them, with the keys that a thief needs.
    """

    def __init__(
        self,
        participants: Iterable[str] = ("00", "11", "31"),
        *,
        realm: str = "test-simulator",
        now: int = NOW,
    ) -> None:
        self.realm = realm
        self.now = now
        self.files: dict[str, bytes] = {}
        self.tampered: dict[str, bytes] = {}
        self.missing: set[str] = set()
        self.offline = False
        self.fetched: list[str] = []
        self.root_keys = [self.key(f"root-{number}") for number in (1, 2, 3)]
        self.operators = [self.key(f"operator-{number}") for number in (1, 2, 3)]
        self.areas_key = self.key("areas")
        self.snapshot_key = self.key("snapshot")
        self.timestamp_key = self.key("timestamp")
        self.versions: dict[str, int] = {}
        self.snapshot_version = 0
        self.timestamp_version = 0
        self.policy = default_policy_bytes()
        self.services: dict[str, ServiceEntry] = {
            "registry": ServiceEntry(ca_pem=PEM, endpoint="127.0.0.1:7001", public_endpoint="127.0.0.1:7002"),
            "gateway": ServiceEntry(ca_pem=PEM, endpoint="127.0.0.1:7003"),
        }
        self.root = self._publish_root(1)
        self.provinces: dict[str, SimulatedProvince] = {}
        for code in participants:
            self.provinces[code] = self.new_province(code)
        self.targets = self.new_targets()
        self.publish_targets()
        self.publish_areas({"310115": RiskLevel.HIGH})
        for code in self.provinces:
            self.publish_province(code)
            self.publish_live(code)
        self.publish()

    # TrustSource

    @property
    def name(self) -> str:
        return f"the simulated registry of {self.realm}"

    def fetch(self, path: str, max_bytes: int) -> bytes:
        self.fetched.append(path)
        if self.offline:
            raise UnavailableError(f"{self.name} is out of reach", reason=Reason.TRUST_UNAVAILABLE)
        data = self.serve(path)
        if data is None:
            raise NotFoundError(f"{self.name} has no file {path}")
        if len(data) > max_bytes:
            raise too_large(path, max_bytes, self.name)
        return data

    def serve(self, path: str) -> bytes | None:
        """The bytes served at a path, right or wrong; None for no file."""
        return None if path in self.missing else self.tampered.get(path, self.files.get(path))

    def code(self, issuer: str, index: int, *, issued_at: int, expires_at: int) -> str:
        """A GREEN code's text, signed with the issuer's newest LIVE key."""
        claims = CodeClaims(
            issuer=issuer,
            issued_at=issued_at,
            expires_at=expires_at,
            not_before=None,
            version=1,
            level=Level.GREEN,
            rule="G1",
            index=index,
            presentation=Presentation.LIVE,
            shown_by_relative=False,
            tag=None,
            salt=None,
            name=None,
        )
        return sign_code(claims, self.provinces[issuer].keys[KeyPurpose.LIVE], self.realm)

    @property
    def fingerprint(self) -> str:
        """The first root's fingerprint."""
        return root_fingerprint(self.files[metadata_file("root", 1)])

    def client(self, directory: Path, **options: Any) -> TrustClient:
        """A client whose folder begins with the realm's first root."""
        init_trust(directory, self, self.fingerprint)
        return TrustClient(directory, self, **options)

    def fork(self) -> SimulatedRealm:
        """An independent copy with the same keys."""
        keys = [*self.root_keys, *self.operators, self.areas_key, self.snapshot_key, self.timestamp_key]
        for province in self.provinces.values():
            keys += [*province.authority, province.live_key, *province.keys.values()]
        # a private key is never copied
        return copy.deepcopy(self, {id(key): key for key in keys})

    def key(self, name: str) -> PrivateKey:
        """A key of this realm by its name, like "root-1" or "31 live"."""
        return fixed_key(f"{self.realm} {name}")

    # national roles

    def _publish_root(self, version: int, signers: Iterable[PrivateKey] = ()) -> Metadata[Root]:
        root = new_root(
            self.realm,
            root_keys=[key.public for key in self.root_keys],
            root_threshold=2,
            operator_keys=[key.public for key in self.operators],
            operator_threshold=2,
            snapshot_keys=[self.snapshot_key.public],
            timestamp_keys=[self.timestamp_key.public],
            now=self.now,
            version=version,
        )
        for key in [*self.root_keys[:2], *signers]:
            sign_metadata(root, key)
        self.files[metadata_file("root", version)] = to_bytes(root)
        return root

    def rotate_root(
        self,
        *,
        root_keys: list[PrivateKey] | None = None,
        snapshot_key: PrivateKey | None = None,
        timestamp_key: PrivateKey | None = None,
        operators: list[PrivateKey] | None = None,
    ) -> None:
        """Publishes the next root with the given keys, signed by old and new key holders."""
        consenting = self.root_keys[:2] if root_keys is not None else []
        self.root_keys = root_keys or self.root_keys
        self.snapshot_key = snapshot_key or self.snapshot_key
        self.timestamp_key = timestamp_key or self.timestamp_key
        self.operators = operators or self.operators
        self.root = self._publish_root(self.root.signed.version + 1, consenting)

    def participants_document(self) -> ParticipantsFile:
        """participants.json with the provinces' current chains."""
        entries = {code: ParticipantEntry(chain=province.chain) for code, province in self.provinces.items()}
        return ParticipantsFile(realm=self.realm, participants=entries, services=self.services)

    def new_targets(self, *, participants: bytes | None = None) -> Metadata[Targets]:
        """Unsigned targets that delegate to the head of each province's chain."""
        document = encode_json_file(self.participants_document()) if participants is None else participants
        national = {PARTICIPANTS_PATH: document, POLICY_PATH: self.policy}
        targets = new_targets(
            version=self.versions.get("targets", 0) + 1,
            files=national,
            area_keys=[self.areas_key.public],
            now=self.now,
        )
        self._national_files = national
        for code, province in self.provinces.items():
            link = province.chain[-1]
            targets = with_province(targets, code, link.keys, link.threshold)
        return targets

    def publish_targets(self, targets: Metadata[Targets] | None = None) -> None:
        """Signs targets by two operators and adds them to the files, with the national files."""
        self.targets = self.new_targets() if targets is None else targets
        for key in self.operators[:2]:
            sign_metadata(self.targets, key)
        self._put_role("targets", self.targets, self._national_files)

    def publish_areas(self, risks: Mapping[str, RiskLevel]) -> None:
        """Signs a new areas/risk.json."""
        self.publish_risk(encode_areas(AreaRisk(self.now, dict(risks))))

    def publish_risk(self, data: bytes) -> None:
        """Signs these bytes, right or wrong, as the new areas/risk.json."""
        risk = {RISK_PATH: data}
        metadata = new_areas_metadata(version=self.versions.get(AREAS_ROLE, 0) + 1, files=risk, now=self.now)
        sign_metadata(metadata, self.areas_key)
        self._put_role(AREAS_ROLE, metadata, risk)

    def publish(self) -> None:
        """Signs a snapshot of all current versions and a timestamp: from now on clients see them."""
        self.snapshot_version += 1
        snapshot = new_snapshot(version=self.snapshot_version, versions=self.versions, now=self.now)
        sign_metadata(snapshot, self.snapshot_key)
        self.files[metadata_file("snapshot", self.snapshot_version)] = to_bytes(snapshot)
        self.sign_timestamp()

    def sign_timestamp(self) -> None:
        """Signs a newer timestamp over the current snapshot, as the registry does each minute."""
        self.timestamp_version += 1
        snapshot = self.files[metadata_file("snapshot", self.snapshot_version)]
        timestamp = new_timestamp(
            version=self.timestamp_version,
            snapshot=snapshot,
            snapshot_version=self.snapshot_version,
            now=self.now,
        )
        sign_metadata(timestamp, self.timestamp_key)
        self.files[metadata_file("timestamp")] = to_bytes(timestamp)

    def _put_role(self, role: str, metadata: Metadata[Targets], files: Mapping[str, bytes]) -> None:
        self.versions[role] = metadata.signed.version
        self.files[metadata_file(role, metadata.signed.version)] = to_bytes(metadata)
        for path, data in files.items():
            self.files[target_file(path, hashlib.sha256(data).hexdigest())] = data

    # provinces

    def new_province(self, code: str) -> SimulatedProvince:
        """A participant with three authority keys (two sign), a live key and one key for each purpose."""
        authority = [self.key(f"{code} authority-{number}") for number in (1, 2, 3)]
        keys = {purpose: self.key(f"{code} {purpose}") for purpose in _published_purposes()}
        document = ProvinceFile(
            realm=self.realm,
            participant=code,
            keys=tuple(self.province_key(code, purpose, key) for purpose, key in keys.items()),
            tls_ca=(PEM,),
            endpoints={"federation": f"province-{code}.healthcode:7100"},
        )
        today = day_of(self.now)
        return SimulatedProvince(
            code=code,
            authority=authority,
            threshold=2,
            live_key=self.key(f"{code} live"),
            keys=keys,
            chain=(new_link(code, authority, 2, self.realm, created=self.now),),
            document=document,
            head=Head(0, self.realm, code, today - 1, today + 40, {}),
        )

    def add_province(self, code: str) -> SimulatedProvince:
        """Onboards a participant. Call publish_province, publish_live and publish next."""
        self.provinces[code] = self.new_province(code)
        self.publish_targets()
        return self.provinces[code]

    def province_key(self, code: str, purpose: KeyPurpose, key: PrivateKey) -> ProvinceKey:
        """An entry of province.json, valid since a day ago and for as long as allowed."""
        start = self.now - 86_400
        return new_province_key(
            code,
            purpose,
            key,
            self.realm,
            not_before=start,
            not_after=start + _WINDOW_SECONDS.get(purpose, 90 * 86_400),
        )

    def rotate_key(self, code: str, purpose: KeyPurpose, name: str) -> PrivateKey:
        """Adds a key for a purpose; the old one stays published. Publish the province next."""
        province = self.provinces[code]
        key = self.key(f"{code} {purpose} {name}")
        province.keys[purpose] = key
        entry = self.province_key(code, purpose, key)
        province.document = province.document.model_copy(update={"keys": (*province.document.keys, entry)})
        return key

    def hand_over(self, code: str, name: str) -> None:
        """Replaces the authority keys, with the consent of the old ones. Publish targets and the province next."""
        province = self.provinces[code]
        fresh = [self.key(f"{code} authority {name}-{number}") for number in (1, 2, 3)]
        link = new_link(
            code,
            fresh,
            2,
            self.realm,
            created=self.now,
            previous=province.chain[-1],
            previous_keys=province.authority[:2],
        )
        province.chain = (*province.chain, link)
        province.authority = fresh

    def publish_province(self, code: str, signers: Iterable[PrivateKey] | None = None) -> None:
        """Signs the current province.json at the next version."""
        province = self.provinces[code]
        province.authority_version += 1
        data = encode_json_file(province.document)
        metadata = new_province_metadata(
            code,
            version=province.authority_version,
            province_json=data,
            live_public=province.live_key.public,
            live_possession=prove_key(code, KeyPurpose.HEAD, province.live_key, self.realm),
            now=self.now,
        )
        self.publish_authority(code, metadata, {province_path(code): data}, signers)

    def publish_authority(
        self,
        code: str,
        metadata: Metadata[Targets],
        files: Mapping[str, bytes],
        signers: Iterable[PrivateKey] | None = None,
    ) -> None:
        """Signs any metadata of role province-NN, right or wrong, and serves it."""
        province = self.provinces[code]
        for key in province.authority[: province.threshold] if signers is None else signers:
            sign_metadata(metadata, key)
        self._put_role(authority_role(code), metadata, files)

    def publish_live(self, code: str, signer: PrivateKey | None = None) -> None:
        """Signs the current head at the next version, and serves it with its lists."""
        province = self.provinces[code]
        province.head = replace(province.head, version=province.head.version + 1)
        self.publish_head(code, encode_head(province.head), signer)

    def publish_head(self, code: str, head: bytes, signer: PrivateKey | None = None) -> None:
        """Signs any bytes as the head, right or wrong, and serves them."""
        province = self.provinces[code]
        province.live_version += 1
        metadata = new_live_metadata(code, version=province.live_version, head=head, now=self.now)
        sign_metadata(metadata, province.live_key if signer is None else signer)
        self._put_live(code, metadata, head)

    def serve_live(self, code: str, data: bytes, head: bytes) -> None:
        """Serves live metadata that a node has signed."""
        metadata = decode_metadata(data, Targets)
        self.provinces[code].live_version = metadata.signed.version
        self._put_live(code, metadata, head)

    def _put_live(self, code: str, metadata: Metadata[Targets], head: bytes) -> None:
        province = self.provinces[code]
        self._put_role(live_role(code), metadata, {head_path(code): head})
        for data in province.lists.values():
            self.files[list_file(hashlib.sha256(data).hexdigest())] = data

    def revoke(self, code: str, index: int, expires_at: int) -> None:
        """Adds a code to the list of its day. Publish the live part next."""
        day = day_of(expires_at)
        self.provinces[code].revoked.setdefault(day, set()).add(index)
        self.set_list(code, day, self.provinces[code].revoked[day])

    def set_list(self, code: str, day: int, indices: Iterable[int]) -> None:
        """Replaces the members of a day's list."""
        province = self.provinces[code]
        members = sorted(indices)
        data = encode_list(RevocationList(self.realm, code, day, members))
        was = province.head.days.get(day)
        version = 1 if was is None else was.version + 1
        entry = DayEntry(version, len(members), hashlib.sha256(data).digest(), len(data))
        province.lists[day] = data
        province.head = replace(province.head, days={**province.head.days, day: entry})

    def kill(self, code: str, kid: bytes) -> None:
        """Names a key as killed. Publish the live part next."""
        province = self.provinces[code]
        province.head = replace(province.head, killed_kids=province.head.killed_kids | {kid})

    def describe(self) -> str:
        """One line for a failing test."""
        return f"{self.realm} at {rfc3339(self.now)}: {self.versions}"


def _published_purposes() -> tuple[KeyPurpose, ...]:
    return (KeyPurpose.LIVE, KeyPurpose.PAPER, KeyPurpose.ANSWER, KeyPurpose.QUESTION)
