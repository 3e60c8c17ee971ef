"""The national keys through founding, and rotation or loss of root's, the operators' and the online keys.

Each key holder has a folder of their own, and only files pass between them. Commands run in this process.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from healthcode.clock import SystemClock, rfc3339
from healthcode.policy.words import RiskLevel
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from tests.simulator.registry import Province, put_join
from trust_registry.__main__ import cli
from trust_registry.layout import RegistryFolder
from trust_registry.registry import Registry, open_registry

REALM = "test-rehearsal"
PASSPHRASE = "a passphrase of a holder"


class Hall:
    """The registry's machine, the key holders' machines, and the USB stick between them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = root / "registry"
        self.stick = root / "stick"
        self.stick.mkdir()
        self.secret = root / "passphrase"
        self.secret.write_text(PASSPHRASE)
        self.secret.chmod(0o600)
        self.next = ""

    def run(self, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(cli, [*arguments, "--json"])
        code = result.exit_code if result.exception is None or result.exit_code == 0 else 1
        assert code == status, f"{arguments}\n{result.output}\n{result.exception}"
        return result

    def here(self, *arguments: str) -> dict[str, Any]:
        """Runs a command on the registry's machine."""
        found: dict[str, Any] = json.loads(self.run(*arguments, "--dir", str(self.registry)).stdout)
        return found

    def refused(self, *arguments: str) -> str:
        """Runs a command that must be refused; its message."""
        return str(self.run(*arguments, status=1).exception)

    def new_key(self, kind: str, name: str) -> Path:
        """A key holder makes a key at home and puts its card on the stick."""
        home = self.root / f"home-{name}"
        self.run(
            "key", "new", kind, "--realm", REALM, "--name", name, "--out", str(home),
            "--passphrase-file", str(self.secret), "--development",
        )  # fmt: skip
        card = self.stick / f"{name}.card.json"
        (home / card.name).rename(card)
        return card

    def sign(self, name: str, file: Path) -> Path:
        """A key holder signs a copy at home, without a registry; the signed copy."""
        copy = self.root / f"home-{name}" / f"{name}.json"
        copy.write_bytes(file.read_bytes())
        self.next = str(json.loads(self.run("sign", str(copy), *self.key(name)).stdout)["next"])
        return copy

    def key(self, name: str) -> Sequence[str]:
        home = self.root / f"home-{name}"
        return ("--key", str(home / f"{name}.key"), "--passphrase-file", str(self.secret), "--yes")

    def collect(self, *files: Path) -> dict[str, Any]:
        return self.here("collect", *(str(file) for file in files))

    def open(self) -> Registry:
        return open_registry(RegistryFolder(self.registry), SystemClock(), {})


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path)


def found(hall: Hall) -> str:
    """Founds a realm of three root and three operator keys, thresholds two; its fingerprint."""
    names = [("root", f"root-{n}") for n in (1, 2, 3)] + [("operator", f"operator-{n}") for n in (1, 2, 3)]
    cards = [hall.new_key(kind, name) for kind, name in names]
    file = hall.stick / "founding.json"
    hall.here(
        "init", "--realm", REALM, "--root-threshold", "2", "--operator-threshold", "2", "--development",
        "--out", str(file), *(part for card in cards for part in ("--card", str(card))),
    )  # fmt: skip
    signed = [hall.sign(name, file) for name in ("root-1", "root-2", "operator-1", "operator-2")]
    return str(hall.collect(*signed)["root_fingerprint"])


def follow(hall: Hall, fingerprint: str) -> TrustClient:
    """A node's trust folder, begun by the fingerprint."""
    source = FolderSource(hall.registry / "repository")
    init_trust(hall.root / "trust", source, fingerprint)
    client = TrustClient(hall.root / "trust", source)
    client.refresh(int(time.time()))
    return client


def rolls(shown: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(roll["paper"], roll["by"]): roll for roll in shown["rolls"]}


def test_a_realm_is_founded_over_files_and_nobody_s_key_leaves_their_machine(hall: Hall) -> None:
    """A realm is founded by cards and signed files alone; missing signatures are listed by name."""
    # 1. Each holder makes a key at home; only cards come to the registry.
    cards = [hall.new_key("root", f"root-{n}") for n in (1, 2, 3)]
    cards += [hall.new_key("operator", f"operator-{n}") for n in (1, 2)]
    file = hall.stick / "founding.json"
    hall.here(
        "init", "--realm", REALM, "--root-threshold", "2", "--operator-threshold", "2", "--development",
        "--out", str(file), *(part for card in cards for part in ("--card", str(card))),
    )  # fmt: skip
    # 2. The first signatures come back; the ceremony stops for the night, nothing is founded.
    shown = hall.collect(hall.sign("root-1", file))
    missing = rolls(shown)["root.json", "the first root"]["missing"]
    assert [name.partition(" ")[0] for name in missing] == ["root-2", "root-3"]
    assert not (hall.registry / "repository").exists()
    # Whoever looks meanwhile is told what is missing and what is next, and not that something is damaged.
    assert hall.here("proposals")["state"] == "BEING FOUNDED"
    status = CliRunner().invoke(cli, ["status", "--dir", str(hall.registry), "--json"])
    assert status.exit_code == 4
    assert rolls(json.loads(status.stdout)) == rolls(shown)
    for looked in ("fingerprint", "check"):
        result = CliRunner().invoke(cli, [looked, "--dir", str(hall.registry), "--json"])
        said = result.output + str(result.exception)
        assert "is being founded" in said
        assert "root.json has 1 of 2" in said
        assert "trust-registry sign" in said
    # 3. It goes on the next day, one signature after another in one file.
    for name in ("root-3", "operator-1"):
        copy = hall.sign(name, file)
        file.write_bytes(copy.read_bytes())
    # The file says to whom it goes now, and that it comes back.
    assert "1 more on targets.json by the first root (of operator-2" in hall.next
    assert "trust-registry collect" in hall.next
    hall.collect(file)
    done = hall.collect(hall.sign("operator-2", file))
    assert done["state"] == "FOUNDED"
    # 4. A node that was told the fingerprint follows; no key of a holder lies at the registry.
    follow(hall, done["root_fingerprint"])
    assert TrustStore.open(hall.root / "trust").view.realm == REALM
    held = {path.stem for path in hall.registry.rglob("*.key")}
    assert not {name for name in held if name.startswith(("root", "operator"))}


def test_a_root_holder_goes_and_another_comes(hall: Hall) -> None:
    """The old and the new threshold sign one file, and a node follows both roots."""
    client = follow(hall, found(hall))
    card = hall.new_key("root", "root-4")
    file = hall.stick / "proposal.json"
    # 1. The registry drafts it; the file says who must sign, for the old root and for the new.
    hall.here("propose", "rotation", "root", "--remove", "root-1", "--add", str(card), "--out", str(file))
    # 2. Holders sign at home. One signature of root-2 and root-3 counts for both roots.
    first = hall.sign("root-2", file)
    shown = hall.collect(first)
    assert shown["state"] == "OPEN"
    # 3. root-2 again is told that another person is needed; an operator that this is not theirs.
    assert "signed" in hall.refused("sign", str(first), *hall.key("root-2"))
    assert "purpose" in hall.refused("sign", str(file), *hall.key("operator-1"))
    # 4. root-1, who goes, may still consent; with root-4 alone the new root would lack nobody.
    assert hall.collect(hall.sign("root-4", file))["state"] == "OPEN"
    done = hall.collect(hall.sign("root-1", file))
    assert done["state"] == "PUBLISHED"
    # 5. A node follows; root-1 can sign nothing any more.
    assert client.refresh(int(time.time())).view.root_version == 2
    hall.here("propose", "renewal", "root", "--out", str(file))
    assert "not among" in hall.refused("sign", str(file), *hall.key("root-1"))


def test_a_damaged_signature_says_whose(hall: Hall) -> None:
    """A signature damaged on its way is refused by name, and the others stay."""
    found(hall)
    file = hall.stick / "proposal.json"
    hall.here("propose", "renewal", "root", "--out", str(file))
    good, bad = hall.sign("root-1", file), hall.sign("root-2", file)
    outer = json.loads(bad.read_bytes())
    proposal = json.loads(base64.b64decode(outer["proposal"]))
    metadata = json.loads(base64.b64decode(proposal["metadata"]))
    value = metadata["signatures"][0]["sig"]
    metadata["signatures"][0]["sig"] = ("0" if value[0] != "0" else "1") + value[1:]
    proposal["metadata"] = base64.b64encode(json.dumps(metadata).encode()).decode()
    outer["proposal"] = base64.b64encode(json.dumps(proposal).encode()).decode()
    bad.write_text(json.dumps(outer))
    hall.collect(good)
    message = hall.refused("collect", str(bad), "--dir", str(hall.registry))
    assert "root-2" in message
    assert "is invalid" in message
    assert hall.here("proposals")["proposals"][0]["signatures"] == 1


def test_an_operator_s_key_is_lost(hall: Hall) -> None:
    """Root names another operator and the new operators sign targets, in one file; nodes follow."""
    client = follow(hall, found(hall))
    card = hall.new_key("operator", "operator-4")
    file = hall.stick / "proposal.json"
    # 1. operator-1, whose signature stands under targets, lost the key.
    hall.here(
        "propose", "rotation", "operators", "--remove", "operator-1", "--add", str(card), "--out", str(file)
    )
    # 2. Two root holders are not enough: targets needs its new operators.
    shown = hall.collect(hall.sign("root-1", file), hall.sign("root-2", file))
    assert shown["state"] == "OPEN"
    assert len(rolls(shown)["targets.json", "the new root"]["missing"]) == 3
    # 3. With them it is published, root and targets together.
    done = hall.collect(hall.sign("operator-2", file), hall.sign("operator-4", file))
    assert done["state"] == "PUBLISHED"
    view = client.refresh(int(time.time())).view
    assert (view.root_version, view.targets_version) == (2, 2)
    # 4. The lost key admits nobody; the new one does.
    registry = hall.open()
    put_join(registry, Province("31", REALM, now=int(time.time())))
    refused = hall.refused("approve", "31", "--dir", str(hall.registry), *hall.key("operator-1"))
    assert "not among" in refused
    for name in ("operator-2", "operator-4"):
        hall.here("approve", "31", *hall.key(name))
    assert set(client.refresh(int(time.time())).view.issuers) == {"31"}


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_an_online_key_of_the_registry_is_rotated(hall: Hall, role: str) -> None:
    """The new key signs once root names it, clients follow, and the registry starts without the old one."""
    client = follow(hall, found(hall))
    file = hall.stick / "proposal.json"
    key = hall.registry / "keys" / f"{role}.key"
    # 1. The registry makes the new key; until root names it, the old one signs on.
    hall.here("propose", "rotation", role, "--out", str(file))
    registry = hall.open()
    registry.repository.renew()
    assert client.refresh(int(time.time())).view.root_version == 1
    # 2. Two root holders sign at home; one alone is not enough.
    assert hall.collect(hall.sign("root-1", file))["state"] == "OPEN"
    assert hall.collect(hall.sign("root-3", file))["state"] == "PUBLISHED"
    # 3. A registry that was open all the while takes the new key up by itself; clients follow.
    registry.repository.renew()
    view = client.refresh(int(time.time())).view
    assert view.root_version == 2
    # 4. The old key is destroyed: a registry that starts without it signs, and clients go on.
    key.unlink()
    hall.open().repository.renew()
    assert client.refresh(int(time.time())).view.timestamp_version > view.timestamp_version
    assert TrustStore.open(hall.root / "trust").view.root_version == 2


def test_the_key_of_areas_is_rotated(hall: Hall) -> None:
    """After operators named another key for areas, it signs them and every client follows."""
    client = follow(hall, found(hall))
    file, risk = hall.stick / "proposal.json", hall.stick / "risk.json"
    # 1. The registry makes the new key, and two operators name it in targets.
    hall.here("propose", "rotation", "areas", "--out", str(file))
    assert hall.collect(hall.sign("operator-1", file))["state"] == "OPEN"
    assert hall.collect(hall.sign("operator-3", file))["state"] == "PUBLISHED"
    # 2. The area risk is signed by it in the same publication: no client ever finds one that does not hold.
    result = client.refresh(int(time.time()))
    assert not result.rejected
    assert result.view.targets_version == 2
    # 3. The old key is destroyed; the registry starts without it.
    (hall.registry / "keys" / "areas.key").unlink()
    hall.open().repository.renew()
    # 4. A new risk is approved, signed by the new key, and in force at a client.
    as_of = rfc3339(int(time.time()) + 60)  # later than at the founding, a second ago
    risk.write_text(json.dumps({"format": "healthcode/areas/1", "as_of": as_of, "areas": {"310115": "HIGH"}}))
    for name in ("operator-1", "operator-2"):
        hall.here("areas", "set", str(risk), *hall.key(name))
    result = client.refresh(int(time.time()))
    assert not result.rejected
    assert result.view.areas.risk("310115", int(time.time())) is RiskLevel.HIGH


def test_one_root_share_is_lost(hall: Hall) -> None:
    """The other root key holders name a new one, who signs from then on; the lost key signs nothing."""
    client = follow(hall, found(hall))
    file = hall.stick / "proposal.json"
    # 1. root-3's key is gone; somebody may have found it.
    lost = hall.root / "home-root-3" / "root-3.key"
    lost.rename(hall.root / "home-root-3" / "found.key")
    # 2. Another holder makes a key at home; the registry drafts the change.
    card = hall.new_key("root", "root-4")
    hall.here("propose", "rotation", "root", "--remove", "root-3", "--add", str(card), "--out", str(file))
    # 3. The two that are left are the threshold of the old root and of the new.
    assert hall.collect(hall.sign("root-1", file))["state"] == "OPEN"
    assert hall.collect(hall.sign("root-2", file))["state"] == "PUBLISHED"
    assert client.refresh(int(time.time())).view.root_version == 2
    # 4. The lost share signs nothing any more, and the new holder signs the next root.
    hall.here("propose", "renewal", "root", "--out", str(file))
    (hall.root / "home-root-3" / "found.key").rename(lost)
    assert "not among" in hall.refused("sign", str(file), *hall.key("root-3"))
    hall.collect(hall.sign("root-4", file), hall.sign("root-1", file))
    assert client.refresh(int(time.time())).view.root_version == 3
