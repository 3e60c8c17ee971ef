"""The ceremony, as people at a keyboard live it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthcode.errors import ConfigurationError, HealthcodeError, InvalidInputError, Reason
from healthcode.signing.keyfile import read_key_file, read_key_info
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata import Root, Targets, decode_metadata
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint, spoken_fingerprint
from tests.simulator.registry import plan
from tests.world.clock import ManualClock
from trust_registry.__main__ import cli
from trust_registry.founding.ceremony import SigningStep, hold_ceremony
from trust_registry.layout import RegistryFolder
from trust_registry.settings import load_registry_settings


def run(*arguments: str, keyboard: str = "") -> Result:
    return CliRunner().invoke(cli, list(arguments), input=keyboard)


def typed(people: list[str], *, yes: int) -> str:
    """What holders type: name, passphrase, the same again; then a yes for each signature."""
    lines = []
    for person in people:
        lines += [person, f"passphrase of {person}", f"passphrase of {person}"]
    return "\n".join([*lines, *["y"] * yes]) + "\n"


SHAPE = ("--roots", "2", "--root-threshold", "2", "--operators", "2", "--operator-threshold", "2")


def test_a_real_ceremony_asks_each_holder_and_tells_what_to_carry_away(tmp_path: Path) -> None:
    """Four people type names and passphrases, each signature is shown and confirmed, keys are theirs alone."""
    folder = tmp_path / "registry"
    people = ["王芳", "李强", "张敏", "刘洋"]
    result = run("init", "--dir", str(folder), "--realm", "cn", *SHAPE, keyboard=typed(people, yes=4))
    assert result.exit_code == 0, result.output
    for expected in (
        "+ root.json / version: 1",
        "(root-1 王芳)",
        "root.json / healthcode.realm: cn",
        "王芳 (root-1): do you sign root.json, sha256:",
        "sha256:",
    ):
        assert expected in result.output
    assert "must now leave this machine" in result.stdout
    for number, person in enumerate(people[:2], 1):
        path = folder / "ceremony" / f"root-{number}.key"
        assert str(path) in result.stdout.replace("\n", "")
        assert path.stat().st_mode & 0o777 == 0o600
        loaded = read_key_file(path, f"passphrase of {person}".encode())
        assert (loaded.info.purpose, loaded.info.name, loaded.info.realm) == (KeyPurpose.ROOT, person, "cn")
        with pytest.raises(ConfigurationError, match="does not open"):
            read_key_file(path, b"passphrase of another")
    assert not (folder / "ceremony" / "passphrase").exists()
    assert "passphrase of" not in result.output


def test_every_new_key_signs(tmp_path: Path) -> None:
    """Root and targets bear the signature of each holder, so that each is proven to be held."""
    folder = RegistryFolder(tmp_path / "registry")
    hold_ceremony(plan(), folder, ManualClock(), confirm=lambda step: True)
    root = decode_metadata((folder.repository / metadata_file("root", 1)).read_bytes(), Root)
    targets = decode_metadata((folder.repository / metadata_file("targets", 1)).read_bytes(), Targets)
    assert len(root.signatures) == len(targets.signatures) == 3
    assert realm_of(root.signed) == "test-registry"


def test_a_holder_who_declines_has_not_signed_and_no_more(tmp_path: Path) -> None:
    """At the thresholds the realm is founded without that signature, and their key still counts."""
    folder = tmp_path / "registry"
    shape = ("--roots", "3", "--root-threshold", "2", "--operators", "2", "--operator-threshold", "2")
    keyboard = typed(["a", "b", "c", "d", "e"], yes=1) + "n\n" + "y\n" * 3
    result = run("init", "--dir", str(folder), "--realm", "cn", *shape, keyboard=keyboard)
    assert result.exit_code == 0, result.output
    assert "must now leave this machine" in result.stdout
    root = decode_metadata((folder / "repository" / metadata_file("root", 1)).read_bytes(), Root)
    assert (len(root.signed.roles["root"].keyids), len(root.signatures)) == (3, 2)


def test_a_ceremony_below_its_threshold_stops_and_is_resumed(tmp_path: Path) -> None:
    """One declines, another leaves the keyboard: who is missing is named, nothing is lost, and it goes on over files."""
    folder = tmp_path / "registry"
    keyboard = typed(["a", "b", "c", "d"], yes=1) + "n\n" + "y\n"  # and the last one says nothing
    result = run("init", "--dir", str(folder), "--realm", "cn", *SHAPE, "--json", keyboard=keyboard)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["state"], told["root_fingerprint"]) == ("OPEN", None)
    missing = {roll["paper"]: [name.partition(" (")[0] for name in roll["missing"]] for roll in told["rolls"]}
    assert missing == {"root.json": ["root-2 b"], "targets.json": ["operator-2 d"]}
    assert not (folder / "repository").exists()
    # the two come back another day, with their keys
    for key, person in (("root-2", "b"), ("operator-2", "d")):
        secret = f"passphrase of {person}"
        signed = run(
            "sign", told["file"], "--key", str(folder / "ceremony" / f"{key}.key"), keyboard=f"y\n{secret}\n"
        )
        assert signed.exit_code == 0, signed.output
    done = run("collect", told["file"], "--dir", str(folder), "--json")
    assert json.loads(done.stdout)["state"] == "FOUNDED"
    assert run("fingerprint", "--dir", str(folder)).exit_code == 0


def test_an_interruption_at_any_signature_leaves_nothing(tmp_path: Path) -> None:
    """Whatever goes wrong in the middle, the folder is as before."""
    for last in range(4):
        steps: list[SigningStep] = []

        def confirm(step: SigningStep, steps: list[SigningStep] = steps, last: int = last) -> bool:
            steps.append(step)
            if len(steps) > last:
                raise KeyboardInterrupt
            return True

        with pytest.raises(KeyboardInterrupt):
            hold_ceremony(plan(), RegistryFolder(tmp_path / "registry"), ManualClock(), confirm=confirm)
        assert list(tmp_path.iterdir()) == []


def test_a_short_passphrase_is_asked_for_again(tmp_path: Path) -> None:
    """Twelve characters or more; the question comes back."""
    keyboard = "a\nshort\nshort\n" + typed([""], yes=0)[1:] + typed(["b", "c", "d"], yes=4)
    result = run("init", "--dir", str(tmp_path / "registry"), "--realm", "cn", *SHAPE, keyboard=keyboard)
    assert "12 characters or more" in result.output
    assert result.exit_code == 0, result.output


def test_one_person_does_not_hold_two_keys(tmp_path: Path) -> None:
    """A threshold of people is not a threshold of files: the second time the question comes back at once."""
    keyboard = typed(["Wang Fang"], yes=0) + "wang fang\n" + typed(["b", "c", "d"], yes=4)
    result = run("init", "--dir", str(tmp_path / "registry"), "--realm", "cn", *SHAPE, keyboard=keyboard)
    assert result.exit_code == 0, result.output
    assert "wang fang keeps another root key already" in result.output
    assert result.output.index("keeps another root key") < result.output.index("operator-1")


def test_a_development_ceremony_never_makes_cn(tmp_path: Path) -> None:
    """The command refuses, and so does what lies under it."""
    result = run("init", "--dir", str(tmp_path / "registry"), "--realm", "cn", "--development")
    assert isinstance(result.exception, InvalidInputError)
    assert result.exception.reason is Reason.REALM_MISMATCH
    with pytest.raises(InvalidInputError, match="cannot found realm cn"):
        hold_ceremony(
            plan("cn"), RegistryFolder(tmp_path / "registry"), ManualClock(), confirm=lambda step: True
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "shape",
    [
        ("--roots", "3", "--root-threshold", "1"),
        ("--roots", "2", "--root-threshold", "3"),
        ("--operators", "1", "--operator-threshold", "1"),
    ],
)
def test_no_one_person_acts_alone(tmp_path: Path, shape: tuple[str, ...]) -> None:
    """Outside development a threshold of one is refused before anybody is asked."""
    result = run("init", "--dir", str(tmp_path / "registry"), "--realm", "test-real", *shape)
    assert isinstance(result.exception, InvalidInputError)
    assert "no one person acts alone" in result.exception.message


def test_a_development_ceremony_asks_nothing_and_a_node_can_begin(tmp_path: Path) -> None:
    """One command gives a registry, and the fingerprint that it prints begins a trust folder."""
    folder = tmp_path / "registry"
    result = run("init", "--dir", str(folder), "--realm", "test-dev", "--development", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["realm"] == "test-dev"
    root = (folder / "repository" / metadata_file("root", 1)).read_bytes()
    assert told["root_fingerprint"] == root_fingerprint(root)
    init_trust(tmp_path / "trust", FolderSource(folder / "repository"), told["root_fingerprint"])
    assert json.loads(run("fingerprint", "--dir", str(folder), "--json").stdout) == {
        "root_1": told["root_fingerprint"],
        "read_out": spoken_fingerprint(told["root_fingerprint"]),
    }
    assert run("check", "--dir", str(folder)).exit_code == 0
    for path in [*folder.rglob("*.key"), *folder.rglob("passphrase")]:
        assert path.stat().st_mode & 0o777 == 0o600
    assert read_key_info(folder / "keys" / "timestamp.key").purpose is KeyPurpose.TIMESTAMP


def test_the_configuration_it_writes_is_the_one_it_reads(tmp_path: Path) -> None:
    """registry.toml loads strictly, with the addresses that were given; an unknown key is named."""
    folder = tmp_path / "registry"
    run(
        *("init", "--dir", str(folder), "--realm", "test-dev", "--development"),
        *(
            "--listen",
            "127.0.0.1:1443",
            "--public-listen",
            "[::1]:1444",
            "--metrics-listen",
            "127.0.0.1:1445",
        ),
    )
    settings = load_registry_settings(folder / "registry.toml")
    assert (settings.server.listen, settings.server.public_listen) == ("127.0.0.1:1443", "[::1]:1444")
    assert settings.metrics.listen == "127.0.0.1:1445"
    text = (folder / "registry.toml").read_text()
    (folder / "registry.toml").write_text(text.replace("public_listen", "publik_listen"))
    with pytest.raises(ConfigurationError, match="did you mean `public_listen`"):
        load_registry_settings(folder / "registry.toml")


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    """A ceremony never lands on top of something."""
    (tmp_path / "notes").write_text("mine")
    result = run("init", "--dir", str(tmp_path), "--realm", "test-dev", "--development")
    assert isinstance(result.exception, ConfigurationError)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    "changes",
    [
        {"--dir": "."},
        {"--policy": "missing.json"},
        {"--policy": "notes"},
        {"--gateway-ca": "missing.pem", "--gateway-endpoint": "127.0.0.1:7445"},
        {"--gateway-endpoint": "127.0.0.1:7445"},
    ],
    ids=["a folder in use", "no policy", "a bad policy", "no CA", "half a gateway"],
)
def test_what_is_wrong_is_found_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    """Nobody chooses a passphrase in vain."""
    monkeypatch.chdir(tmp_path)
    Path("notes").write_text("mine")
    given = {"--dir": "r", "--realm": "cn"} | changes
    result = run("init", *(word for pair in given.items() for word in pair))
    assert isinstance(result.exception, HealthcodeError), result.output
    assert result.exception.exit_status == 2
    assert "Your name" not in result.output
    assert not Path("r").exists()


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999"])
def test_a_wrong_address_is_found_before_the_ceremony(tmp_path: Path, address: str) -> None:
    """The option is named, and nobody was asked for a passphrase in vain."""
    result = run("init", "--dir", str(tmp_path / "r"), "--realm", "cn", "--listen", address)
    assert result.exit_code == 2
    assert "--listen" in result.output
    assert "Your name" not in result.output
