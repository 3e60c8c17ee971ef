"""Too few root key holders remain, so a new root is bootstrapped: a registry, two provinces' nodes, a verifier."""

from __future__ import annotations

import asyncio
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healthcode import TrustStore, Verifier
from healthcode.cli.__main__ import cli as healthcode_cli
from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.policy.words import Outcome
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from province_node.__main__ import cli as node_cli
from province_node.cli.backup import current_trust
from province_node.settings import load_node_settings
from tests.federation.history import check_history
from tests.federation.node import code_text
from tests.federation.world import REALM, Federation, open_federation
from tests.simulator.registry import PASSPHRASE
from tests.world.waiting import eventually
from trust_registry.__main__ import cli as registry_cli

ADOPTER, SLEEPER = "31", "44"


class People:
    """Everybody who types commands: at the registry, at a new key holder's machine, at the verifier, at a node."""

    def __init__(self, root: Path, registry: Path) -> None:
        self.root = root
        self.registry = registry
        settings = tomllib.loads((registry / "registry.toml").read_text())
        self.source = ("--source", f"grpcs://{settings['server']['public_listen']}")
        self.ca = ("--ca", str(registry / "tls" / "ca.pem"))
        self.passphrase = root / "passphrase"
        self.passphrase.write_bytes(PASSPHRASE)
        self.passphrase.chmod(0o600)

    async def type(self, cli: Any, *arguments: str, keyboard: str | None = None) -> Any:
        """Runs a command; its output. Raises the HealthcodeError that it is refused with."""
        result = await asyncio.to_thread(CliRunner().invoke, cli, [*arguments, "--json"], input=keyboard)
        if isinstance(result.exception, HealthcodeError):
            raise result.exception
        assert result.exit_code == 0, f"{arguments}\n{result.output}\n{result.exception}"
        return json.loads(result.stdout)

    async def here(self, *arguments: str, keyboard: str | None = None) -> Any:
        """A command at the registry."""
        return await self.type(registry_cli, *arguments, "--dir", str(self.registry), keyboard=keyboard)

    async def refused(self, *arguments: str, cli: Any = registry_cli) -> HealthcodeError:
        """Runs a command that must be refused; its error."""
        more = ("--dir", str(self.registry)) if cli is registry_cli else ()
        try:
            await self.type(cli, *arguments, *more)
        except HealthcodeError as error:
            return error
        raise AssertionError(f"{arguments} was not refused")

    async def new_holder(self, name: str) -> str:
        """A key made on the key holder's own machine; the path of its card."""
        away = self.root / name
        told = await self.type(
            registry_cli,
            *("key", "new", "root", "--realm", REALM, "--name", name, "--out", str(away), "--development"),
            *("--passphrase-file", str(self.passphrase)),
        )
        return str(told["card"])

    async def sign(self, file: Path, name: str) -> Any:
        """A new key holder signs a file on their own machine."""
        key = self.root / name / f"{name}.key"
        return await self.type(
            registry_cli,
            *("sign", str(file), "--key", str(key), "--passphrase-file", str(self.passphrase), "--yes"),
        )

    def adopt(self, folder: Path, fingerprint: str) -> tuple[str, ...]:
        return (
            *("trust", "rebootstrap", "--trust", str(folder), "--root-fingerprint", fingerprint),
            *(*self.source, *self.ca),
        )


class Story:
    """What the steps share: the federation, its people, the verifier at the gate, and both fingerprints."""

    def __init__(self, federation: Federation, people: People, old: str) -> None:
        self.federation = federation
        self.people = people
        self.old = old
        self.new = ""
        self.read_out = ""
        self.gate = people.root / "gate"
        self.founded: int = json.loads(federation.configurations[0].read_text())["founded"]

    def outcomes(self, *codes: str, folder: Path | None = None) -> list[Outcome]:
        """Offline verdicts, by default of the verifier at the gate."""
        verifier = Verifier(TrustStore.open(folder or self.gate))
        return [verifier.verify(code_text(REALM, self.founded, code)).outcome for code in codes]

    def trust_of(self, code: str) -> Path:
        """The trust folder of a node."""
        return next((self.people.root / f"node-{code}").rglob("trust.json")).parent

    async def until(self, holds: Callable[[dict[str, dict[str, int]]], bool]) -> None:
        async def is_so() -> bool:
            return holds(await self.federation.states())

        await eventually(is_so, suppressed=())


async def two_root_holders_are_lost(story: Story) -> tuple[str, ...]:
    """No command can replace two of three root keys or restart the root by mistake; the command that can, unconfirmed."""
    people = story.people
    for name in ("root-1", "root-2"):
        (people.registry / "ceremony" / f"{name}.key").unlink()
    cards = [await people.new_holder(name) for name in ("root-4", "root-5", "root-6")]
    wanted = [part for card in cards for part in ("--card", card)]
    wanted += ["--root-threshold", "2", "--reason", "a fire", "--out", str(people.root / "anew.json")]
    begin = ("propose", "bootstrap", "--lost", "root-1")
    enough = await people.refused(*begin, *wanted, "--realm", REALM)
    assert "propose rotation root" in enough.message
    begin = (*begin, "--lost", "root-2", *wanted)
    assert (await people.refused(*begin, "--realm", "cn")).reason is Reason.REALM_MISMATCH
    assert [each["role"] for each in (await people.here("proposals", "--all"))["proposals"]] == ["targets"]
    return begin


async def new_holders_sign_a_new_root(story: Story, begin: tuple[str, ...]) -> None:
    """New key holders sign a root. It is published, all clients refuse it and keep the old one, with an alarm."""
    people, federation = story.people, story.federation
    proposed = await people.here(*begin, keyboard=f"{REALM}\n")
    assert "does not sign this one" in proposed["begins_anew"]
    assert [each["by"] for each in proposed["rolls"]] == ["the new root"]
    anew = people.root / "anew.json"
    for name in ("root-4", "root-5"):
        await people.sign(anew, name)
    published = await people.here("collect", str(anew))
    story.read_out = published["read_out"]
    data = (people.registry / "repository" / metadata_file("root", 2)).read_bytes()
    story.new = root_fingerprint(data)
    assert (published["state"], published["root_fingerprint"]) == ("PUBLISHED", story.new)
    assert story.read_out.replace("/", "").replace(" ", "") == story.new.removeprefix("sha256:")
    told = await people.here("fingerprint")
    assert (told["root_1"], told["root_2"], told["began_anew"]) == (story.old, story.new, "root_2")
    await story.until(lambda states: all(each["root_alarm"] == 1 for each in states.values()))
    assert {each["root"] for each in (await federation.states()).values()} == {1}
    log = federation.configurations[0].with_suffix(".err").read_text()
    assert "trust_root_alarm" in log
    assert story.new.removeprefix("sha256:") not in log, "the fingerprint comes from people, and nowhere else"
    sync = ("trust", "sync", "--dir", str(story.gate))
    assert (await people.refused(*sync, cli=healthcode_cli)).reason is Reason.ROOT_REPLACED
    assert story.outcomes("31/1", "31/2") == [Outcome.REVOKED, Outcome.VALID]


async def some_adopt_it(story: Story) -> None:
    """One node and the verifier adopt it by its fingerprint; a mistyped fingerprint changes nothing."""
    people = story.people
    mistyped = await people.refused(*people.adopt(story.gate, "0" * 64), cli=healthcode_cli)
    assert mistyped.reason is Reason.ROOT_UNKNOWN
    for folder in (story.trust_of(ADOPTER), story.gate):
        adopted = await people.type(healthcode_cli, *people.adopt(folder, story.read_out))
        assert (adopted["root_fingerprint"], adopted["root_version"]) == (story.new, 2)
    await story.until(lambda states: states[ADOPTER]["root"] == 2 and not states[ADOPTER]["root_alarm"])


async def the_other_goes_on_in_alarm(story: Story) -> None:
    """New revocations reach those that adopted it; the other node serves its old trust, also after a restart."""
    people, federation = story.people, story.federation
    await federation.revoke(ADOPTER, [f"{ADOPTER}/2"])

    async def the_gate_has_it() -> bool:
        await people.type(healthcode_cli, "trust", "sync", "--dir", str(story.gate))
        return story.outcomes("31/2") == [Outcome.REVOKED]

    await eventually(the_gate_has_it, pause_seconds=0.3, suppressed=())
    assert story.outcomes("31/1", "31/2", "31/3", "44/1") == [
        Outcome.REVOKED, Outcome.REVOKED, Outcome.VALID, Outcome.VALID,
    ]  # fmt: skip
    await federation.restart(SLEEPER)
    await story.until(lambda states: states[SLEEPER].get("root_alarm") == 1)
    sleeper = (await federation.states())[SLEEPER]
    assert sleeper["root"] == 1
    assert sleeper["ROOT_REPLACED"] > 0
    accepted = set((await federation.finish(final=False))[SLEEPER])
    assert accepted & {"31/1", "31/2", "31/3"} == {"31/2", "31/3"}
    await people.type(healthcode_cli, *people.adopt(story.trust_of(SLEEPER), story.new))
    await federation.converge(30)
    await story.until(lambda states: states[SLEEPER]["root"] == 2 and not states[SLEEPER]["root_alarm"])
    assert check_history(federation.looks(), federation.revokes) == []


async def a_node_comes_back_from_a_backup(story: Story) -> None:
    """A restored node still names the old root: it is refused until it names the new one."""
    people, folder = story.people, story.people.root / "node-51"
    await people.type(
        node_cli, "init", "--dir", str(folder), "--participant", "51", "--realm", REALM, "--development",
        "--registry", people.source[1].removeprefix("grpcs://"), "--registry-ca", people.ca[1],
        "--root-fingerprint", story.old,
    )  # fmt: skip
    settings = load_node_settings(folder)
    with pytest.raises(TrustError) as refused:
        await asyncio.to_thread(current_trust, settings)
    assert refused.value.reason is Reason.ROOT_REPLACED
    told = await people.type(
        node_cli, "rebootstrap", "--dir", str(folder), "--root-fingerprint", story.read_out
    )
    assert (told["root_before"], told["root_version"]) == (1, 2)
    named = load_node_settings(folder)
    assert named.registry.root_fingerprint == story.new
    assert named.model_copy(update={"registry": settings.registry}) == settings, "nothing else has changed"
    for each in (settings, named):  # a start compares the fingerprint that is configured with the folder
        await asyncio.to_thread(init_trust, settings.trust.folder, (), each.registry.root_fingerprint)
    shutil.rmtree(settings.trust.folder)
    assert (await asyncio.to_thread(current_trust, settings, story.new)).root_version == 2


async def whoever_comes_new_begins_there(story: Story) -> None:
    """New clients begin with the new fingerprint only, a lost registry is rebuilt from it, and roots rotate again."""
    people = story.people
    begin = ("trust", "init", *people.source, *people.ca, "--root-fingerprint")
    late = people.root / "late"
    await people.type(healthcode_cli, *begin, story.new, "--dir", str(late))
    assert story.outcomes("31/1", "31/2", "31/3", folder=late) == [
        Outcome.REVOKED, Outcome.REVOKED, Outcome.VALID,
    ]  # fmt: skip
    too_late = ("--dir", str(people.root / "too-late"))
    refused = await people.refused(*begin, story.old, *too_late, cli=healthcode_cli)
    assert refused.reason is Reason.ROOT_REPLACED
    shown = await people.type(healthcode_cli, "trust", "show", "--dir", str(story.gate))
    assert shown["root_fingerprint"] == story.new
    assert shown["root_began_anew"] == [f"version 2, after {story.old}"]
    mirror = str(people.root / "mirror")
    await people.here("export", mirror)
    rebuild = ("rebuild", "--dir", str(people.root / "rebuilt"), "--from", mirror, "--from", str(story.gate))
    rebuilt = await people.type(registry_cli, *rebuild, "--root-fingerprint", story.new)
    assert rebuilt["root_version"] == 2
    renewal = people.root / "renewal.json"
    await people.here("propose", "renewal", "root", "--out", str(renewal))
    for name in ("root-5", "root-6"):
        await people.sign(renewal, name)
    await people.here("collect", str(renewal))
    await story.until(lambda states: {each["root"] for each in states.values()} == {3})
    assert (await people.here("fingerprint"))["began_anew"] == "root_2", "later roots repeat it"
    findings = {each["what"]: each["grade"] for each in (await people.here("check"))["findings"]}
    assert findings["trust tree"] == "OK"


async def test_root_below_its_threshold(tmp_path: Path) -> None:
    """Old codes stay VALID, revoked ones REVOKED, and no client changes its root without a person's command."""
    async with open_federation(
        tmp_path, (ADOPTER, SLEEPER), processes=1, with_proxies=False, interval_seconds=0.3, poll_seconds=0.5
    ) as federation:
        await federation.settle()
        people = People(tmp_path, federation.registry)
        story = Story(federation, people, (await people.here("fingerprint"))["root_1"])
        await federation.watch([f"{code}/{number}" for code in (ADOPTER, SLEEPER) for number in range(6)])
        await federation.revoke(ADOPTER, [f"{ADOPTER}/1"])
        await federation.converge(30)
        begin = ("trust", "init", *people.source, *people.ca, "--root-fingerprint", story.old)
        await people.type(healthcode_cli, *begin, "--dir", str(story.gate))
        assert story.outcomes("31/1", "31/2", "44/1") == [Outcome.REVOKED, Outcome.VALID, Outcome.VALID]
        await new_holders_sign_a_new_root(story, await two_root_holders_are_lost(story))
        await some_adopt_it(story)
        await the_other_goes_on_in_alarm(story)
        await a_node_comes_back_from_a_backup(story)
        await whoever_comes_new_begins_there(story)
