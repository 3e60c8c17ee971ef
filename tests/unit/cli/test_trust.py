"""`healthcode trust` and `policy`: begin, keep current, look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from healthcode.cli.remembered_sources import SourceName, name_sources, open_sources
from healthcode.errors import ConfigurationError
from tests.simulator.realm import SimulatedRealm
from tests.unit.cli.command import carry, healthcode, init


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_begins_a_folder(present: SimulatedRealm, tmp_path: Path, form: str) -> None:
    """From a folder or a file URL; what was taken is told."""
    tree = carry(present, tmp_path / "tree")
    done = init(present, form.format(tree), tmp_path / "trust")
    assert done.status == 0, done.err
    told = done.json()
    assert (told["realm"], told["issuers"], told["rejected"]) == (present.realm, ["00", "11", "31"], [])


def test_sync_remembers_the_source(present: SimulatedRealm, tmp_path: Path) -> None:
    """Without a word about where from; what is new comes, and what is not is told."""
    tree = carry(present, tmp_path / "tree")
    init(present, tree, tmp_path / "trust")
    same = healthcode("trust", "sync", "--dir", tmp_path / "trust", "--json")
    assert (same.status, same.json()["changed"]) == (0, False)
    present.publish()
    carry(present, tree)
    newer = healthcode("trust", "sync", "--dir", tmp_path / "trust", "--json")
    assert (newer.status, newer.json()["changed"]) == (0, True)
    assert newer.json()["trust_version"] == present.snapshot_version


def test_sync_tells_what_was_refused(present: SimulatedRealm, tmp_path: Path) -> None:
    """One province's bad file is named; the others' news come all the same."""
    tree = carry(present, tmp_path / "tree")
    init(present, tree, tmp_path / "trust")
    present.publish_live("31", signer=present.key("a stranger"))
    present.publish()
    carry(present, tree)
    done = healthcode("trust", "sync", "--dir", tmp_path / "trust", "--json")
    assert done.status == 0
    assert [one["participant"] for one in done.json()["rejected"]] == ["31"]


def test_another_fingerprint_is_refused(present: SimulatedRealm, tmp_path: Path) -> None:
    """The root that is announced, or none: refused (1), and nothing is left behind."""
    tree = carry(present, tmp_path / "tree")
    wrong = "sha256:" + "0" * 64
    done = healthcode(
        "trust", "init", "--source", tree, "--root-fingerprint", wrong, "--dir", tmp_path / "trust"
    )
    assert done.status == 1
    assert not (tmp_path / "trust").exists()


def test_another_realm_is_refused(present: SimulatedRealm, tmp_path: Path) -> None:
    """--realm holds the root to its name."""
    tree = carry(present, tmp_path / "tree")
    assert init(present, tree, tmp_path / "trust", "--realm", "cn").status == 1


def test_a_source_out_of_reach_says_so(present: SimulatedRealm, tmp_path: Path) -> None:
    """Status 4; what was there goes on serving."""
    tree = carry(present, tmp_path / "tree")
    init(present, tree, tmp_path / "trust")
    tree.rename(tmp_path / "gone")
    done = healthcode("trust", "sync", "--dir", tmp_path / "trust")
    assert done.status == 4
    assert str(tree) in done.err.replace("\n", "")
    assert healthcode("trust", "show", "--dir", tmp_path / "trust").status == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://mirror.example", "is no source"),
        ("https://user:secret@mirror.example", "must not have a user"),
        ("https://", "is no mirror"),
        ("https://[::1", "is no source"),
        ("grpcs://registry.example", "host:port"),
        ("grpcs://registry.example:8444", "--ca FILE"),
        ("file://elsewhere/tree", "is no source"),
        ("", "is no source"),
    ],
)
def test_a_source_that_cannot_be_meant(url: str, said: str) -> None:
    """Each with what to write instead."""
    with pytest.raises(ConfigurationError, match=said), open_sources([SourceName(url)]):
        pass


def test_sources_are_named_once() -> None:
    """A CA goes to those that speak TLS alone; a folder's path is right from elsewhere."""
    urls = ("grpcs://r.example:7444", "https://m.example/trust", "http://m.example", "tree")
    named = name_sources(urls, "CA")
    assert [each.ca_pem for each in named] == ["CA", "CA", None, None]
    assert named[3].url == str(Path("tree").absolute())
    with pytest.raises(ConfigurationError, match="twice"):
        name_sources(("tree", str(Path("tree").absolute())), None)
    with pytest.raises(ConfigurationError, match="at most 16"):
        name_sources([f"http://m.example/{number}" for number in range(17)], None)


def test_a_folder_begun_with_one_source_is_understood(present: SimulatedRealm, tmp_path: Path) -> None:
    """source.json as it was written when there was one."""
    tree = carry(present, tmp_path / "tree")
    init(present, tree, tmp_path / "trust")
    old = {"format": "healthcode/source/1", "url": str(tree), "ca_pem": None}
    (tmp_path / "trust" / "source.json").write_text(json.dumps(old))
    assert healthcode("trust", "sync", "--dir", tmp_path / "trust").status == 0
    (tmp_path / "trust" / "source.json").write_text("{")
    assert healthcode("trust", "sync", "--dir", tmp_path / "trust").status == 2


def test_sync_without_a_folder_says_what_to_do(tmp_path: Path) -> None:
    """Status 2, with the command that begins one."""
    done = healthcode("trust", "sync", "--dir", tmp_path / "none")
    assert done.status == 2
    assert "healthcode trust init" in done.err


def test_show_tells_of_each_issuer(realm: SimulatedRealm, trust: Path) -> None:
    """Tier, age, keys, versions and revocations; as JSON and as a table."""
    data = healthcode("trust", "show", "--dir", trust, "--json").json()
    assert data["realm"] == realm.realm
    shanghai = next(one for one in data["issuers"] if one["code"] == "31")
    assert shanghai["name"] == "Shanghai 上海"
    assert {key["purpose"] for key in shanghai["keys"]} == {"LIVE", "PAPER", "ANSWER", "QUESTION"}
    assert shanghai["province_version"] == 1
    assert shanghai["tier"] in {"FRESH", "AGING", "STALE"}
    shown = healthcode("trust", "show", "--dir", trust).out
    assert "Issuers" in shown
    assert realm.realm in shown


def test_policy_show_tells_the_rules(trust: Path) -> None:
    """The policy in force with every rule, in order; as JSON and as a table."""
    data = healthcode("policy", "show", "--dir", trust, "--json").json()
    assert data["in_force"]["rules"]
    assert {"id", "when", "decision", "remedy"} == set(data["in_force"]["rules"][0])
    assert data["in_force"]["rules"][-1]["when"] == {}
    shown = healthcode("policy", "show", "--dir", trust).out
    assert "Rules, in order" in shown
    assert "always" in shown


@pytest.mark.parametrize("option", ["--trust", "--dir"])
@pytest.mark.parametrize("command", [("trust", "show"), ("policy", "show")])
def test_the_folder_has_one_name_everywhere(trust: Path, command: tuple[str, ...], option: str) -> None:
    """Whoever learnt --trust from verify, or --dir from trust, is understood by both."""
    assert healthcode(*command, option, trust).status == 0
