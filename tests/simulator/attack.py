"""Attacks on a trust client by a registry, a mirror or a thief of keys, each with the reason it must be refused for.

`stage` makes an honest history, an attack's `harm` changes the realm, `Scene.recover` makes it honest again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuf.api.metadata import DelegatedRole, Delegations, TargetFile

from healthcode.errors import Reason
from healthcode.policy.words import RiskLevel
from healthcode.revocation.day import day_of
from healthcode.revocation.head import DayEntry, Head, encode_head
from healthcode.revocation.list import RevocationList, encode_list
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.json_files import ParticipantEntry, encode_json_file
from healthcode.trust.format.key_possession import prove_key
from healthcode.trust.format.layout import (
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    head_path,
    list_file,
    metadata_file,
    province_path,
    target_file,
)
from healthcode.trust.format.metadata import Metadata, Targets, sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import (
    new_live_metadata,
    new_province_metadata,
    new_snapshot,
    new_timestamp,
)
from healthcode.trust.format.tuf_keys import tuf_key
from tests.simulator.realm import SimulatedProvince, SimulatedRealm, fixed_key

__all__ = [
    "ATTACKS",
    "GOOD",
    "LATER",
    "NEIGHBOUR",
    "REVOKED",
    "VICTIM",
    "Attack",
    "Scene",
    "attack_named",
    "stage",
]

Harm = Callable[[SimulatedRealm, Mapping[str, bytes]], None]

VICTIM, NEIGHBOUR = "31", "11"
REVOKED, GOOD, LATER = 7, 8, 9
"""Indices of codes: revoked from the first, never, and by the honest registry after the attack."""


@dataclass(frozen=True, slots=True)
class Attack:
    """`whom` is the participant that alone is refused, None when the whole refresh is; `says` must be in the message."""

    name: str
    reason: Reason
    whom: str | None
    harm: Harm
    says: str = ""


class Scene:
    """The honest realm before an attack, and `past`, the files of yesterday."""

    def __init__(self, realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        self.past = past
        self._realm = realm.realm
        self._keys = {name: getattr(realm, name) for name in _KEYS}
        self._provinces = {code: _copy(province) for code, province in realm.provinces.items()}

    def recover(self, realm: SimulatedRealm) -> None:
        """The registry is honest again: all parties publish their next versions, and Shanghai has revoked one more code."""
        realm.tampered.clear()
        realm.missing.clear()
        realm.realm = self._realm
        for name, value in self._keys.items():
            setattr(realm, name, value)
        for code, kept in self._provinces.items():
            now = realm.provinces.get(code, kept)
            versions = {
                role: max(getattr(now, role), getattr(kept, role))
                for role in ("authority_version", "live_version")
            }
            # what was revoked meanwhile stays so, whether the client has seen it or not
            revoked = {
                day: now.revoked.get(day, set()) | kept.revoked.get(day, set())
                for day in {*now.revoked, *kept.revoked}
            }
            realm.provinces[code] = replace(_copy(kept), revoked=revoked, **versions)
        for code in set(realm.provinces) - set(self._provinces):
            del realm.provinces[code]
        realm.revoke(VICTIM, LATER, realm.now + 3600)
        realm.publish_targets()
        publish_parts(realm)
        realm.publish()


_KEYS = ("root_keys", "operators", "areas_key", "snapshot_key", "timestamp_key", "policy", "services")


def _copy(province: SimulatedProvince) -> SimulatedProvince:
    return replace(
        province,
        authority=list(province.authority),
        keys=dict(province.keys),
        lists=dict(province.lists),
        revoked={day: set(members) for day, members in province.revoked.items()},
    )


def publish_parts(realm: SimulatedRealm) -> None:
    """Publishes areas, every authority and every node, each at its next version."""
    realm.publish_areas({"310115": RiskLevel.HIGH})
    for code in realm.provinces:
        realm.publish_province(code)
        realm.publish_live(code)


def stage(realm: SimulatedRealm) -> Scene:
    """Publishes two days of honest history: a handover, a second root, a policy, keys and lists."""
    past = dict(realm.files)
    realm.rotate_root()
    realm.hand_over(VICTIM, "second")
    realm.policy = b" " + realm.policy
    for index in (REVOKED - 1, REVOKED):
        realm.revoke(VICTIM, index, realm.now + 3600)
    realm.kill(VICTIM, _killed(realm))
    realm.publish_targets()
    publish_parts(realm)
    realm.publish()
    return Scene(realm, past)


def attack_named(name: str) -> Attack:
    """Finds an attack by its name."""
    return next(attack for attack in ATTACKS if attack.name == name)


def _killed(realm: SimulatedRealm) -> bytes:
    return kid(realm.provinces[VICTIM].keys[KeyPurpose.PAPER].public)


_thief = fixed_key("thief")
_thieves = [fixed_key("thief-1"), fixed_key("thief-2"), fixed_key("thief-3")]


# files, by whoever stands between: no key is needed


def _current(realm: SimulatedRealm, role: str) -> str:
    return metadata_file(role, realm.versions[role])


def _target_place(realm: SimulatedRealm, path: str) -> str:
    """The path under which the newest version of a file is served."""
    folder, _, name = path.rpartition("/")
    return next(
        place
        for place in reversed(realm.files)
        if place.startswith(f"targets/{folder}/") and place.endswith(f".{name}")
    )


def _news(realm: SimulatedRealm) -> None:
    """Publishes something new, so that the client fetches every file."""
    realm.revoke(VICTIM, GOOD + 100, realm.now + 3600)
    realm.policy = b" " + realm.policy
    realm.rotate_key(VICTIM, KeyPurpose.ANSWER, "second")
    realm.publish_targets()
    publish_parts(realm)
    realm.publish_areas({"310115": RiskLevel.LOW})
    realm.publish()


def _swapped(place: Callable[[SimulatedRealm], str], data: Callable[[bytes], bytes] | None) -> Harm:
    """Publishes something new, with one file replaced by other bytes, or removed when they are None."""

    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        _news(realm)
        path = place(realm)
        if data is None:
            realm.missing.add(path)
        else:
            realm.tampered[path] = data(realm.files[path])

    return harm


def _list_place(realm: SimulatedRealm) -> str:
    (data,) = realm.provinces[VICTIM].lists.values()
    return list_file(hashlib.sha256(data).hexdigest())


_PLACES: dict[str, Callable[[SimulatedRealm], str]] = {
    "timestamp": lambda realm: metadata_file("timestamp"),
    "snapshot": lambda realm: metadata_file("snapshot", realm.snapshot_version),
    "targets": lambda realm: _current(realm, "targets"),
    "participants": lambda realm: _target_place(realm, PARTICIPANTS_PATH),
    "policy": lambda realm: _target_place(realm, POLICY_PATH),
    "areas": lambda realm: _current(realm, "areas"),
    "risk": lambda realm: _target_place(realm, RISK_PATH),
    "authority": lambda realm: _current(realm, f"province-{VICTIM}"),
    "province": lambda realm: _target_place(realm, province_path(VICTIM)),
    "live": lambda realm: _current(realm, f"province-{VICTIM}-live"),
    "head": lambda realm: _target_place(realm, head_path(VICTIM)),
    "list": _list_place,
}
_WHOM = {
    **dict.fromkeys(("areas", "risk"), "areas"),
    **dict.fromkeys(("authority", "province", "live", "head", "list"), VICTIM),
}


def _arbitrary(data: bytes) -> bytes:
    return bytes(byte ^ 0x20 for byte in data)


# one of each kind: all, metadata of one participant, a file that metadata names, a list
_CUT = frozenset({"timestamp", "authority", "head", "list"})
_LENGTHENED = frozenset({"timestamp", "snapshot", "targets", "policy", "live", "list"})


def _file_attacks() -> list[Attack]:
    metadata = {"timestamp", "targets", "areas", "authority", "live"}
    found = []
    for name, place in _PLACES.items():
        garbage = Reason.MALFORMED_MESSAGE if name in metadata else Reason.SIGNATURE_INVALID
        if name == "snapshot":
            garbage = Reason.TRUST_MIXED  # its hash stands in the timestamp
        cut, long_reason = garbage, Reason.TOO_LARGE
        if name == "list":
            garbage, cut, long_reason = Reason.LIST_CORRUPT, Reason.LIST_TRUNCATED, Reason.LIST_TOO_LARGE
        whom = _WHOM.get(name)
        found.append(Attack(f"arbitrary {name}", garbage, whom, _swapped(place, _arbitrary)))
        if name in _CUT:
            found.append(Attack(f"truncated {name}", cut, whom, _swapped(place, lambda data: data[:-9])))
            found.append(Attack(f"missing {name}", Reason.FILE_UNKNOWN, whom, _swapped(place, None)))
        # what is not in the metadata that names it is bounded by its kind; the rest by its very length
        long = b" " * 600_000 if name in {*metadata, "snapshot"} else b"\0"
        if name in _LENGTHENED:
            long_one = _swapped(place, lambda data, long=long: data + long)  # type: ignore[misc]  # bound now
            found.append(Attack(f"oversized {name}", long_reason, whom, long_one))
    return found


def _arbitrary_root(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.tampered[metadata_file("root", 3)] = b"\xff" * 500


# going back


def _old_timestamp(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.tampered[metadata_file("timestamp")] = past[metadata_file("timestamp")]


def _old_snapshot(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    """A thief of the timestamp key names an old snapshot."""
    old = past[metadata_file("snapshot", 1)]
    realm.timestamp_version += 1
    timestamp = new_timestamp(
        version=realm.timestamp_version, snapshot=old, snapshot_version=1, now=realm.now
    )
    sign_metadata(timestamp, realm.timestamp_key)
    realm.files[metadata_file("timestamp")] = to_bytes(timestamp)


def _old_root(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.tampered[metadata_file("root", 3)] = past[metadata_file("root", 1)]


def _taken_back(role: str) -> Harm:
    """A thief of the snapshot and timestamp keys names old versions."""

    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        realm.versions[role] -= 1
        realm.publish()
        realm.versions[role] += 1

    return harm


def _forgotten(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    version = realm.versions.pop(f"province-{VICTIM}")
    realm.publish()
    realm.versions[f"province-{VICTIM}"] = version


def _old_file(name: str, path: str) -> Harm:
    """Serves yesterday's file in place of the newest."""

    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        _news(realm)
        folder, _, file = path.rpartition("/")
        old = next(
            data
            for place, data in past.items()
            if place.startswith(f"targets/{folder}/") and place.endswith(f".{file}")
        )
        place = _PLACES[name](realm)
        realm.tampered[place] = old.ljust(len(realm.files[place]))[: len(realm.files[place])]

    return harm


def _old_head(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    """A thief of the live key signs yesterday's head at a newer version."""
    head = realm.provinces[VICTIM].head
    realm.publish_head(VICTIM, encode_head(replace(head, version=head.version - 1)))
    realm.publish()


def _old_chain(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    """The operators put back the authority that has handed over."""
    province = realm.provinces[VICTIM]
    province.chain = province.chain[:1]
    province.authority = [realm.key(f"{VICTIM} authority-{number}") for number in (1, 2, 3)]
    realm.publish_targets()
    realm.publish_province(VICTIM)
    realm.publish()


# leaping ahead


def _leapt(role: str) -> Harm:
    """A thief of the online keys signs a version so high that no honest version follows it."""

    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        honest = getattr(realm, f"{role}_version")
        setattr(realm, f"{role}_version", 1 << 40)
        realm.publish()
        setattr(realm, f"{role}_version", honest + 1)

    return harm


# freezing, mixing


def _frozen(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.now += 3_700


def _mixed(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    """A thief of the snapshot key serves another snapshot than the timestamp names."""
    realm.publish_live(VICTIM)
    realm.publish()
    versions = {**realm.versions, f"province-{VICTIM}-live": 1}
    other = new_snapshot(version=realm.snapshot_version, versions=versions, now=realm.now - 1)
    sign_metadata(other, realm.snapshot_key)
    realm.tampered[metadata_file("snapshot", realm.snapshot_version)] = to_bytes(other)


def _mixed_roles(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.publish_province(VICTIM)
    realm.publish()
    role = f"province-{VICTIM}"
    realm.tampered[_current(realm, role)] = past[metadata_file(role, 1)]


def _timestamp_key_alone(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.snapshot_key = realm.timestamp_key
    realm.publish()


# operators that overreach: targets, signed by enough of them


def _delegated(realm: SimulatedRealm) -> tuple[Metadata[Targets], Delegations, dict[str, DelegatedRole]]:
    targets = realm.new_targets()
    delegations = targets.signed.delegations
    assert delegations is not None
    assert delegations.roles is not None
    return targets, delegations, delegations.roles


def _publish_targets(realm: SimulatedRealm, targets: Metadata[Targets]) -> None:
    realm.publish_targets(targets)
    realm.publish()


def forged_province(realm: SimulatedRealm) -> bytes:
    """A province.json for the victim with a key of the thief's."""
    key = realm.province_key(VICTIM, KeyPurpose.LIVE, _thief)
    return encode_json_file(realm.provinces[VICTIM].document.model_copy(update={"keys": (key,)}))


def _targets_list_a_province(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    targets, forged, path = realm.new_targets(), forged_province(realm), province_path(VICTIM)
    targets.signed.targets[path] = TargetFile.from_data(path, forged, ["sha256"])
    realm.files[target_file(path, hashlib.sha256(forged).hexdigest())] = forged
    _publish_targets(realm, targets)


def _redelegated(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    targets, delegations, roles = _delegated(realm)
    key = tuf_key(_thief.public)
    delegations.keys[key.keyid] = key
    roles[f"province-{VICTIM}"].keyids, roles[f"province-{VICTIM}"].threshold = [key.keyid], 1
    realm.publish_targets(targets)
    province, forged = realm.provinces[VICTIM], forged_province(realm)
    province.authority_version += 1
    metadata = new_province_metadata(
        VICTIM,
        version=province.authority_version,
        province_json=forged,
        live_public=_thief.public,
        live_possession=prove_key(VICTIM, KeyPurpose.HEAD, _thief, realm.realm),
        now=realm.now,
    )
    realm.publish_authority(VICTIM, metadata, {province_path(VICTIM): forged}, [_thief])
    realm.publish()


def _sibling(name: str, *, speaks: bool = True) -> Harm:
    """Delegates to a wider role before the province's own; if it `speaks`, it signs a province.json of its own."""

    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        targets, delegations, roles = _delegated(realm)
        key = tuf_key(_thief.public)
        delegations.keys[key.keyid] = key
        role = DelegatedRole(name, [key.keyid], 1, terminating=False, paths=["provinces/*/*"])
        delegations.roles = {name: role, **roles}
        realm.publish_targets(targets)
        if not speaks:
            realm.publish()
            return
        forged, path = forged_province(realm), province_path(VICTIM)
        listed = Targets(
            version=1, expires=targets.signed.expires, targets={path: TargetFile.from_data(path, forged)}
        )
        metadata = Metadata(listed)
        sign_metadata(metadata, _thief)
        realm._put_role(name, metadata, {path: forged})
        realm.publish()
        del realm.versions[name]

    return harm


def _widened(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    targets, _, roles = _delegated(realm)
    roles[f"province-{VICTIM}"].paths = ["provinces/*/*"]
    _publish_targets(realm, targets)


def _lower_threshold(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    targets, _, roles = _delegated(realm)
    roles[f"province-{VICTIM}"].threshold = 1
    _publish_targets(realm, targets)


def _impossible_participant(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.provinces["38"] = realm.new_province("38")
    _publish_targets(realm, realm.new_targets())


def _new_chain(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    province = realm.provinces[VICTIM]
    province.chain = (new_link(VICTIM, _thieves, 2, realm.realm, created=realm.now),)
    province.authority = _thieves
    realm.publish_targets()
    realm.publish_province(VICTIM)
    realm.publish()


def _dropped_chain(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    del realm.provinces[VICTIM]
    _publish_targets(realm, realm.new_targets())


def _stolen_handover(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    province = realm.provinces[VICTIM]
    link = new_link(
        VICTIM,
        _thieves,
        2,
        realm.realm,
        created=realm.now,
        previous=province.chain[-1],
        previous_keys=province.authority[:1],
    )
    province.chain, province.authority = (*province.chain, link), _thieves
    realm.publish_targets()
    realm.publish_province(VICTIM)
    realm.publish()


def _foreign_participants(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    document = realm.participants_document().model_copy(update={"realm": "test-other"})
    _publish_targets(realm, realm.new_targets(participants=encode_json_file(document)))


def _one_operator(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    targets = realm.new_targets()
    realm.operators = realm.operators[:1]
    _publish_targets(realm, targets)


def _borrowed_chain(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    document = realm.participants_document()
    borrowed = ParticipantEntry(chain=realm.provinces[NEIGHBOUR].chain)
    forged = document.model_copy(update={"participants": {**document.participants, "44": borrowed}})
    _publish_targets(realm, realm.new_targets(participants=encode_json_file(forged)))


def _foreign_root(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.realm = "test-other"
    realm.rotate_root()
    del realm.files[metadata_file("root", realm.root.signed.version)]
    realm.tampered[metadata_file("root", 3)] = to_bytes(realm.root)
    realm.root.signed.version = 2  # the honest holders do not know of it


def _unsigned_root(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.root_keys = _thieves
    forged = realm._publish_root(3)
    realm.tampered[metadata_file("root", 3)] = to_bytes(forged)
    del realm.files[metadata_file("root", 3)]


# provinces, and thieves of their keys


def _neighbours_authority(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.publish_province(VICTIM, signers=realm.provinces[NEIGHBOUR].authority)
    realm.publish()


def _neighbours_live_key(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.publish_live(VICTIM, signer=realm.provinces[NEIGHBOUR].live_key)
    realm.publish()


def province_metadata(realm: SimulatedRealm, data: bytes) -> Metadata[Targets]:
    """The victim's next metadata over `data`, unsigned."""
    province = realm.provinces[VICTIM]
    province.authority_version += 1
    return new_province_metadata(
        VICTIM,
        version=province.authority_version,
        province_json=data,
        live_public=province.live_key.public,
        live_possession=prove_key(VICTIM, KeyPurpose.HEAD, province.live_key, realm.realm),
        now=realm.now,
    )


def _neighbours_path(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    data = encode_json_file(realm.provinces[VICTIM].document)
    metadata = province_metadata(realm, data)
    listed = metadata.signed.targets
    listed[province_path(NEIGHBOUR)] = listed[province_path(VICTIM)]
    realm.publish_authority(VICTIM, metadata, {province_path(VICTIM): data, province_path(NEIGHBOUR): data})
    realm.publish()


def _province_delegates(name: str, paths: list[str]) -> Harm:
    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        data = encode_json_file(realm.provinces[VICTIM].document)
        metadata = province_metadata(realm, data)
        key = tuf_key(realm.provinces[VICTIM].live_key.public)
        role = DelegatedRole(name, [key.keyid], 1, terminating=True, paths=paths)
        metadata.signed.delegations = Delegations({key.keyid: key}, {name: role})
        realm.publish_authority(VICTIM, metadata, {province_path(VICTIM): data})
        realm.publish()

    return harm


def _node_lists_neighbour(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    province = realm.provinces[VICTIM]
    head = encode_head(replace(province.head, version=province.head.version + 1))
    province.live_version += 1
    metadata = new_live_metadata(VICTIM, version=province.live_version, head=head, now=realm.now)
    listed = metadata.signed.targets
    listed[head_path(NEIGHBOUR)] = listed[head_path(VICTIM)]
    sign_metadata(metadata, province.live_key)
    realm._put_role(f"province-{VICTIM}-live", metadata, {head_path(VICTIM): head})
    realm.publish()


def _document(**changes: Any) -> Harm:
    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        province = realm.provinces[VICTIM]
        province.document = province.document.model_copy(update=changes)
        realm.publish_province(VICTIM)
        realm.publish()

    return harm


def _unproven_key(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    key = realm.province_key(VICTIM, KeyPurpose.LIVE, _thief)
    _document(keys=(key.model_copy(update={"possession": bytes(64)}),))(realm, past)


def _head(**changes: Any) -> Harm:
    """A thief of the live key, or a broken node, signs another head."""

    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        head = realm.provinces[VICTIM].head
        given = {name: value(head) if callable(value) else value for name, value in changes.items()}
        forged = replace(head, **{"version": head.version + 1, **given})
        realm.publish_head(VICTIM, encode_head(forged))
        realm.publish()

    return harm


def _garbage_head(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
    realm.publish_head(VICTIM, b"\xff" * 100)
    realm.publish()


def _list(
    make: Callable[[SimulatedRealm, list[int], int], bytes], count: Callable[[int], int] = lambda n: n
) -> Harm:
    """Publishes a head whose list of the day is what `make` returns for (realm, the day's members and one more, day)."""

    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        province, day = realm.provinces[VICTIM], day_of(realm.now + 3600)
        members = sorted(province.revoked[day] | {GOOD + 100})
        data = make(realm, members, day)
        entry = DayEntry(
            province.head.days[day].version + 1,
            count(len(members)),
            hashlib.sha256(data).digest(),
            max(1, len(data)),
        )
        province.lists[day] = data
        province.head = replace(province.head, days={day: entry})
        realm.publish_live(VICTIM)
        realm.publish()

    return harm


def _encoded(served: SimulatedRealm, members: list[int], of_day: int, **changes: Any) -> bytes:
    return encode_list(
        RevocationList(
            **{"realm": served.realm, "issuer": VICTIM, "day": of_day, "indices": members, **changes}
        )
    )


def _members(members: list[int]) -> Harm:
    def harm(realm: SimulatedRealm, past: Mapping[str, bytes]) -> None:
        realm.set_list(VICTIM, day_of(realm.now + 3600), members)
        realm.publish_live(VICTIM)
        realm.publish()

    return harm


def _lists() -> list[Attack]:
    corrupt = Reason.LIST_CORRUPT

    def damaged(realm: SimulatedRealm, members: list[int], day: int) -> bytes:
        data = bytearray(_encoded(realm, members, day))
        data[-5] ^= 1
        return bytes(data)

    return [
        Attack(
            "list of another day",
            Reason.LIST_WRONG_DAY,
            VICTIM,
            _list(lambda r, m, d: _encoded(r, m, d, day=d + 1)),
            "[list.day]",
        ),
        Attack(
            "list of another issuer",
            Reason.LIST_WRONG_ISSUER,
            VICTIM,
            _list(lambda r, m, d: _encoded(r, m, d, issuer=NEIGHBOUR)),
            "[list.issuer]",
        ),
        Attack(
            "list of another realm",
            Reason.LIST_WRONG_REALM,
            VICTIM,
            _list(lambda r, m, d: _encoded(r, m, d, realm="test-other")),
            "[list.realm]",
        ),
        Attack(
            "list cut by its issuer",
            Reason.LIST_TRUNCATED,
            VICTIM,
            _list(lambda r, m, d: _encoded(r, m, d)[:-9]),
            "[list.truncated]",
        ),
        Attack("list damaged by its issuer", corrupt, VICTIM, _list(damaged), "[list.checksum]"),
        Attack(
            "list with a false count",
            corrupt,
            VICTIM,
            _list(_encoded, lambda count: count + 1),
            "[list.count]",
        ),
        Attack(
            "shrunk list", Reason.LIST_SHRANK, VICTIM, _members([GOOD + 100, GOOD + 101]), "lost an entry"
        ),
        Attack("emptied list", Reason.LIST_SHRANK, VICTIM, _head(days={}), "shrank"),
        Attack("older members", Reason.LIST_SHRANK, VICTIM, _members([REVOKED]), "shrank from 2 entries"),
        Attack("older list", Reason.LIST_ROLLBACK, VICTIM, _head(days=_before), "list of day"),
    ]


def _before(head: Head) -> dict[int, DayEntry]:
    """The previous version of the list, one entry shorter."""
    return {day: replace(entry, version=entry.version - 1) for day, entry in head.days.items()}


def _far(head: Head) -> dict[int, DayEntry]:
    return {day: replace(entry, version=1 << 50) for day, entry in head.days.items()}


ATTACKS = (
    *_file_attacks(),
    Attack("arbitrary root", Reason.MALFORMED_MESSAGE, None, _arbitrary_root),
    # rollback
    Attack("old timestamp", Reason.TRUST_ROLLBACK, None, _old_timestamp, "timestamp"),
    Attack("old snapshot", Reason.TRUST_ROLLBACK, None, _old_snapshot, "snapshot"),
    Attack(
        "old root as the next", Reason.TRUST_MIXED, None, _old_root, "root version 3 instead got version 1"
    ),
    *(
        Attack(f"{role} taken back", Reason.TRUST_ROLLBACK, None, _taken_back(role), role)
        for role in ("targets", "areas", f"province-{VICTIM}", f"province-{VICTIM}-live")
    ),
    Attack("forgotten role", Reason.TRUST_ROLLBACK, None, _forgotten),
    Attack(
        "old province.json", Reason.SIGNATURE_INVALID, VICTIM, _old_file("province", province_path(VICTIM))
    ),
    Attack("old head served", Reason.SIGNATURE_INVALID, VICTIM, _old_file("head", head_path(VICTIM))),
    Attack("old policy", Reason.SIGNATURE_INVALID, None, _old_file("policy", POLICY_PATH), POLICY_PATH),
    Attack(
        "old participants",
        Reason.SIGNATURE_INVALID,
        None,
        _old_file("participants", PARTICIPANTS_PATH),
        PARTICIPANTS_PATH,
    ),
    *(
        Attack(f"{role} far ahead", Reason.TRUST_FAST_FORWARD, None, _leapt(role), role)
        for role in ("timestamp", "snapshot")
    ),
    Attack("old head signed anew", Reason.LIST_ROLLBACK, VICTIM, _old_head, "head went back"),
    Attack("old chain", Reason.AUTHORITY_EXISTS, VICTIM, _old_chain),
    # freeze, mix-and-match
    Attack("frozen registry", Reason.TRUST_FROZEN, None, _frozen),
    Attack("mixed snapshot", Reason.TRUST_MIXED, None, _mixed),
    Attack("mixed roles", Reason.TRUST_MIXED, VICTIM, _mixed_roles),
    Attack("timestamp key makes snapshot", Reason.SIGNATURE_THRESHOLD, None, _timestamp_key_alone),
    # operators that overreach; python-tuf alone accepts the first three
    Attack(
        "targets lists a province", Reason.TARGETS_OVERREACH, None, _targets_list_a_province, "provinces/31"
    ),
    Attack("province delegated anew", Reason.AUTHORITY_EXISTS, VICTIM, _redelegated),
    Attack("wider sibling", Reason.TARGETS_OVERREACH, None, _sibling("evil"), "evil"),
    Attack(
        "live role in targets",
        Reason.TARGETS_OVERREACH,
        None,
        _sibling(f"province-{VICTIM}-live", speaks=False),
    ),
    Attack("widened pattern", Reason.TARGETS_OVERREACH, VICTIM, _widened),
    Attack("lower threshold", Reason.AUTHORITY_EXISTS, VICTIM, _lower_threshold),
    Attack("impossible participant", Reason.TARGETS_OVERREACH, None, _impossible_participant, "38"),
    Attack("new chain", Reason.AUTHORITY_EXISTS, VICTIM, _new_chain),
    Attack("dropped chain", Reason.AUTHORITY_EXISTS, VICTIM, _dropped_chain),
    Attack("stolen handover", Reason.SIGNATURE_THRESHOLD, VICTIM, _stolen_handover, "1 of the 2 keys"),
    Attack("borrowed chain", Reason.POSSESSION_UNPROVEN, "44", _borrowed_chain),
    Attack("participants of another realm", Reason.REALM_MISMATCH, None, _foreign_participants),
    Attack("one operator alone", Reason.SIGNATURE_THRESHOLD, None, _one_operator),
    Attack("root of another realm", Reason.REALM_MISMATCH, None, _foreign_root),
    Attack("root without its holders", Reason.SIGNATURE_THRESHOLD, None, _unsigned_root),
    # one province against another, and thieves of a province's keys
    Attack("neighbour's authority", Reason.SIGNATURE_FOREIGN, VICTIM, _neighbours_authority, "0 of the 2"),
    Attack("neighbour's live key", Reason.SIGNATURE_FOREIGN, VICTIM, _neighbours_live_key),
    Attack("neighbour's path", Reason.PATH_FORBIDDEN, VICTIM, _neighbours_path, "provinces/11/province.json"),
    Attack(
        "neighbour's head", Reason.PATH_FORBIDDEN, VICTIM, _node_lists_neighbour, "provinces/11/revocations"
    ),
    Attack(
        "node with a wider pattern",
        Reason.PATH_FORBIDDEN,
        VICTIM,
        _province_delegates("province-31-live", ["provinces/31/*"]),
    ),
    Attack(
        "neighbour's node",
        Reason.PATH_FORBIDDEN,
        VICTIM,
        _province_delegates("province-11-live", ["provinces/31/revocations/*"]),
    ),
    Attack("province.json of another realm", Reason.REALM_MISMATCH, VICTIM, _document(realm="test-other")),
    Attack("province.json of a neighbour", Reason.PATH_FORBIDDEN, VICTIM, _document(participant=NEIGHBOUR)),
    Attack("unproven key", Reason.POSSESSION_UNPROVEN, VICTIM, _unproven_key),
    # heads and lists that are signed, and wrong
    Attack("garbage head", Reason.MALFORMED_MESSAGE, VICTIM, _garbage_head, "[cbor."),
    Attack(
        "head of another realm", Reason.LIST_WRONG_REALM, VICTIM, _head(realm="test-other"), "[head.realm]"
    ),
    Attack("head of a neighbour", Reason.LIST_WRONG_ISSUER, VICTIM, _head(issuer=NEIGHBOUR), "[head.issuer]"),
    Attack("killed key back", Reason.LIST_SHRANK, VICTIM, _head(killed_kids=frozenset()), "killed"),
    Attack("coverage reaches back", Reason.LIST_SHRANK, VICTIM, _head(covered_from=1), "reaches back"),
    Attack(
        "coverage begins tomorrow",
        Reason.NOT_COVERED,
        VICTIM,
        _head(covered_from=lambda head: head.covered_from + 9, days={}),
    ),
    Attack("head far ahead", Reason.TRUST_FAST_FORWARD, VICTIM, _head(version=1 << 50)),
    Attack("list far ahead", Reason.TRUST_FAST_FORWARD, VICTIM, _head(days=_far)),
    *_lists(),
)
