"""Every lost passphrase can be replaced by the other key holders."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.clock import rfc3339
from healthcode.errors import ConfigurationError
from tests.end_to_end.test_authorities import HOUR, REALM, Country, announce
from tests.simulator.registry import PASSPHRASE

LOST = "a passphrase that nobody knows"


@pytest.fixture
def country(tmp_path: Path) -> Country:
    return Country(tmp_path)


def secret(folder: Path, name: str, text: str) -> str:
    """Writes a passphrase file."""
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


def with_key(country: Country, key: Path, passphrase: str) -> list[str]:
    return ["--key", str(key), "--passphrase-file", secret(country.root, "typed", passphrase), "--yes"]


def test_an_operators_passphrase_is_lost(country: Country) -> None:
    """The remaining threshold goes on, names another operator, and then the lost key signs nothing."""
    ceremony, known = country.root / "registry" / "ceremony", PASSPHRASE.decode()
    key = ceremony / "operator-1.key"
    copy = country.root / "an old copy of operator-1.key"
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o600)
    # 1. The holder changes the passphrase while it is known, and then forgets it.
    old, new = secret(country.root, "old", known), secret(country.root, "new", LOST)
    change = ("key", "passphrase", str(key), "--passphrase-file", old, "--new-passphrase-file", new)
    assert country.anywhere(*change)["changed"] == [str(key)]
    assert country.anywhere(*change)["had_it_already"] == [str(key)]
    announce_arguments = (
        "propose", "retirement", "31",
        "--signs-until", rfc3339(country.now + HOUR), "--codes-until", rfc3339(country.now + 48 * HOUR),
    )  # fmt: skip
    proposal = country.here(*announce_arguments)["proposal"]
    assert "does not open" in country.here("sign", proposal, *with_key(country, key, known), refused=True)
    # 2. There is no way round it: the command that changes a passphrase needs the present one.
    wrong = ("key", "passphrase", str(key), "--passphrase-file", old, "--new-passphrase-file", old)
    assert "the old one" in country.anywhere(*wrong, refused=True)
    # 3. Root holders name another operator, and the new operators sign targets again.
    home = country.root / "home"
    country.anywhere(
        "key", "new", "operator", "--realm", REALM, "--name", "operator-4", "--out", str(home),
        "--passphrase-file", secret(country.root, "fourth", "the fourth operator's own"), "--development",
    )  # fmt: skip
    rotation = country.here(
        "propose",
        "rotation",
        "operators",
        "--remove",
        "operator-1",
        "--add",
        str(home / "operator-4.card.json"),
    )["proposal"]
    for name in ("root-1", "root-2", "operator-2"):
        country.here("sign", rotation, *with_key(country, ceremony / f"{name}.key", known))
    fourth = with_key(country, home / "operator-4.key", "the fourth operator's own")
    assert country.here("sign", rotation, *fourth)["state"] == "PUBLISHED"
    for result in country.refresh().values():
        assert not result.rejected
        assert result.view.root_version == 2
    # 4. An old copy of the file still opens with the old passphrase, and signs nothing that counts.
    again = country.here(*announce_arguments)["proposal"]
    assert "not among" in country.here("sign", again, *with_key(country, copy, known), refused=True)
    # 5. The operators go on, with the new one among them.
    country.here("sign", again, *with_key(country, ceremony / "operator-3.key", known))
    fourth = with_key(country, home / "operator-4.key", "the fourth operator's own")
    assert country.here("sign", again, *fourth)["state"] == "PUBLISHED"
    assert all(result.view.retirements for result in country.refresh().values())


def test_a_root_shares_passphrase_changes(country: Country) -> None:
    """After a change of passphrase the same key signs on, and nothing needs to be published."""
    ceremony = country.root / "registry" / "ceremony"
    key = ceremony / "root-3.key"
    new = secret(country.root, "new", "another one, for root-3")
    country.anywhere(
        "key", "passphrase", str(key), "--passphrase-file", secret(country.root, "old", PASSPHRASE.decode()),
        "--new-passphrase-file", new,
    )  # fmt: skip
    proposal = country.here("propose", "renewal", "root")["proposal"]
    country.here("sign", proposal, *with_key(country, ceremony / "root-1.key", PASSPHRASE.decode()))
    signed = country.here("sign", proposal, *with_key(country, key, "another one, for root-3"))
    assert signed["state"] == "PUBLISHED"
    assert all(result.view.root_version == 2 for result in country.refresh().values())


def test_a_root_shares_passphrase_is_lost(country: Country) -> None:
    """The other root key holders name a new one; the lost key signs nothing, also if its passphrase is found."""
    ceremony, known = country.root / "registry" / "ceremony", PASSPHRASE.decode()
    key, home = ceremony / "root-3.key", country.root / "home"
    # 1. The holder changes the passphrase and forgets the new one; what was known opens nothing.
    old, new = secret(country.root, "old", known), secret(country.root, "new", LOST)
    country.anywhere("key", "passphrase", str(key), "--passphrase-file", old, "--new-passphrase-file", new)
    renewal = country.here("propose", "renewal", "root")["proposal"]
    assert "does not open" in country.here("sign", renewal, *with_key(country, key, known), refused=True)
    # 2. Root goes on meanwhile: the other two are its threshold.
    for name in ("root-1", "root-2"):
        country.here("sign", renewal, *with_key(country, ceremony / f"{name}.key", known))
    assert all(result.view.root_version == 2 for result in country.refresh().values())
    # 3. Another holder makes a key; the two that are left name it in the place of the lost one.
    country.anywhere(
        "key", "new", "root", "--realm", REALM, "--name", "root-4", "--out", str(home),
        "--passphrase-file", secret(country.root, "fourth", "the fourth holder's own"), "--development",
    )  # fmt: skip
    card = str(home / "root-4.card.json")
    rotation = country.here("propose", "rotation", "root", "--remove", "root-3", "--add", card)["proposal"]
    country.here("sign", rotation, *with_key(country, ceremony / "root-1.key", known))
    signed = country.here("sign", rotation, *with_key(country, ceremony / "root-2.key", known))
    assert signed["state"] == "PUBLISHED"
    assert all(result.view.root_version == 3 for result in country.refresh().values())
    # 4. The passphrase comes to mind again: the old share signs nothing that counts, and the new one does.
    again = country.here("propose", "renewal", "root")["proposal"]
    assert "not among" in country.here("sign", again, *with_key(country, key, LOST), refused=True)
    country.here("sign", again, *with_key(country, home / "root-4.key", "the fourth holder's own"))
    country.here("sign", again, *with_key(country, ceremony / "root-1.key", known))
    assert all(result.view.root_version == 4 for result in country.refresh().values())


def test_the_registrys_own_passphrase_is_lost(country: Country) -> None:
    """A registry rebuilt from its own files gets new online keys, which root and operators sign; clients follow."""
    registry, anew = country.root / "registry", country.root / "anew"
    before = country.refresh()["node"].view
    # 1. The file with the passphrase is gone, and nobody knows it: the registry signs nothing any more.
    (registry / "passphrase").write_text(LOST + "\n")
    with pytest.raises(ConfigurationError, match="does not open"):
        country.refresh()
    # 2. A registry beside it begins from what was published, without the keys that nobody can open.
    rebuilt = country.anywhere(
        "rebuild", "--dir", str(anew), "--root-fingerprint", country.fingerprint,
        "--from", str(registry / "repository"), "--configuration", str(registry / "registry.toml"),
        "--tls", str(registry / "tls"), "--holders", str(registry / "holders.json"),
    )  # fmt: skip
    assert rebuilt["lacking"] == {}
    # 3. Until its new keys are named it serves nothing; then root holders name two of them, operators the third.
    # both are of the same second, so that their order says nothing
    made = {each["role"]: each for each in country.anywhere("proposals", "--dir", str(anew))["proposals"]}
    for proposal, kind in ((made["root"], "root"), (made["targets"], "operator")):
        for number in (1, 3):
            key = registry / "ceremony" / f"{kind}-{number}.key"
            signed = country.anywhere(
                "sign", proposal["proposal"], "--dir", str(anew), *with_key(country, key, PASSPHRASE.decode())
            )
        assert signed["state"] == "PUBLISHED"
    # 4. Under its old address it goes on, above what clients hold: nothing is refused, nothing is lost.
    registry.rename(country.root / "unreadable")
    anew.rename(registry)
    for result in country.refresh().values():
        assert not result.rejected
        assert result.view.root_version == before.root_version + 1
        assert result.view.timestamp_version > before.timestamp_version
        assert set(result.view.issuers) == {"31"}
    assert country.alarm() is None


def test_the_online_keys_take_another_passphrase_together(country: Country) -> None:
    """Snapshot, timestamp and areas keys change to one new passphrase, which then opens the registry."""
    country.here("propose", "rotation", "timestamp")
    file = country.root / "registry" / "passphrase"
    before = file.read_bytes()
    new = secret(country.root, "new", "another one, for the registry")
    changed = country.here("key", "passphrase", "--online", "--new-passphrase-file", new)["changed"]
    assert len(changed) == 4
    assert file.read_bytes() != before
    assert file.stat().st_mode & 0o777 == 0o600
    announce(
        country,
        "--signs-until", rfc3339(country.now + HOUR), "--codes-until", rfc3339(country.now + 48 * HOUR),
    )  # fmt: skip
    assert all(result.view.retirements for result in country.refresh().values())


def test_a_nodes_online_keys_take_another_passphrase_together(country: Country) -> None:
    """A node's keys change to one new passphrase; the authority's key holders change theirs one by one."""
    new = secret(country.root, "new", "another one, for the node")
    changed = country.province("keys", "passphrase", "--new-passphrase-file", new, at=country.node)["changed"]
    assert len(changed) == 6
    assert (country.node / "passphrase").read_text() == "another one, for the node\n"
    country.province("request", at=country.node)
    authority = country.root / "authority"
    one = country.province(
        "authority", "passphrase", "--key", str(authority / "authority-1.key"), "--new-passphrase-file", new,
        at=authority,
    )  # fmt: skip
    assert one["changed"] == [str(authority / "authority-1.key")]
    assert "not an authority key" in country.province(
        "authority", "passphrase", "--key", str(next((country.node / "keys").glob("live-*.key"))),
        "--new-passphrase-file", new, at=authority, refused=True,
    )  # fmt: skip
