"""Who is asked, and what an answer, a lie or silence leads to."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from healthcode.audit.consistency import (
    ConsistencyProof,
    GrowthQuestion,
    decode_consistency,
    sign_consistency,
)
from healthcode.errors import HealthcodeError, NotFoundError, Reason, UnavailableError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from province_node.witness.judge import accept_restart
from province_node.witness.prove import ProveUseCase
from province_node.witness.witness import Witness
from province_node.witness.witness_file import WitnessFile
from tests.unit.gateway.realm import NOW, REALM, issuer, private_key, view
from tests.world.clock import ManualClock
from tests.world.growing_log import MemoryLog
from tests.world.waiting import until

HOMES = ("11", "31")


class Country:
    """Two provinces with logs, and a third one that watches them; proofs go through a gateway that may lie."""

    def __init__(self, folder) -> None:
        self.clock = ManualClock(NOW)
        self.logs = {code: MemoryLog(code) for code in HOMES}
        self.versions = dict.fromkeys(HOMES, 1)
        self.asked: list[tuple[str, GrowthQuestion]] = []
        self.results: list[tuple[str, str]] = []
        self.together = self.most_together = 0
        self.changes = lambda home, data: data
        self.signer = dict.fromkeys(HOMES, None)
        self.file = WitnessFile(folder)
        self.unproved: dict[str, int] = {}
        self.start()

    def start(self, *, ask_seconds: float = 60) -> None:
        """The watching node, as after a restart."""
        self.witness = Witness(
            "44", self.file, provinces=self, clock=self.clock, observer=self, ask_seconds=ask_seconds
        )

    # what the witness calls

    async def prove(self, home: str, question: GrowthQuestion, timeout_seconds: float) -> bytes:
        self.asked.append((home, question))
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        await asyncio.sleep(0)
        self.together -= 1
        path = tuple(self.logs[home].consistency(question.log, question.first, question.second))
        key = self.signer[home] or private_key(home, KeyPurpose.ANSWER)
        data = sign_consistency(ConsistencyProof(home, question, path, self.clock.at), key, REALM)
        changed = self.changes(home, data)
        if isinstance(changed, Exception):
            raise changed
        return changed

    def count_audit_proof(self, participant: str, result: str) -> None:
        self.results.append((participant, result))

    def set_audit(self, alarms, unproved) -> None:
        self.unproved = unproved

    # what happens

    def publish(self, code: str) -> None:
        """A new version of live metadata, with the log's checkpoint."""
        self.versions[code] += 1

    async def refresh(self) -> list[str]:
        """One refresh of the watching node, and one round of questions; the alarms after it."""
        self.look()
        await self.witness.record()
        await self.witness.ask()
        return [f"{each.participant} {each.alarm}" for each in self.witness.alarms()]

    def look(self) -> None:
        """One refresh of the watching node."""
        issuers = [issuer(code) for code in (*HOMES, "44")]
        shown = [
            replace(
                each,
                live_version=self.versions.get(each.code, 1),
                checkpoint=self.logs[each.code].checkpoint() if each.code in self.logs else None,
            )
            for each in issuers
        ]
        self.witness.look(view(*shown))


@pytest.fixture
def country(tmp_path) -> Country:
    return Country(tmp_path / "trust")


async def test_a_head_without_a_new_checkpoint_leaves_the_disk_alone(country, monkeypatch) -> None:
    """A province publishes each second; its checkpoint is new once in minutes."""
    await country.refresh()
    changes: list[str] = []
    monkeypatch.setattr(country.witness, "_change", lambda code, change: changes.append(code))
    country.publish("31")
    country.look()
    await country.witness.record()
    assert changes == []


async def test_growth_is_asked_for_once_and_proved(country) -> None:
    """The first checkpoint is kept; each later one is asked for from there, across restarts, and coalesced."""
    assert await country.refresh() == []
    assert country.asked == []
    for _ in range(3):
        country.logs["31"].grow()
        country.publish("31")
    assert await country.refresh() == []
    assert country.asked == [("31", GrowthQuestion(country.logs["31"].log, 256, 1024))]
    country.start()
    await country.refresh()
    assert len(country.asked) == 1
    country.logs["31"].grow()
    country.publish("31")
    assert await country.refresh() == []
    assert country.asked[-1][1].first == 1024
    assert country.results == [("31", "PROVED")] * 2
    assert country.file.read()["31"].kept == country.logs["31"].checkpoint()


async def test_it_runs_by_itself_and_asks_one_at_a_time(country) -> None:
    """A view that arrives is recorded at once; questions follow in rounds, never two together."""
    await country.refresh()
    country.start(ask_seconds=0.1)
    task = asyncio.create_task(country.witness.run())
    try:
        for code in HOMES:
            country.logs[code].grow()
            country.publish(code)
        country.look()
        await until(lambda: len(country.results) == 2)
        assert {result for _, result in country.results} == {"PROVED"}
        assert country.most_together == 1
        country.logs["31"].rewrite()
        country.publish("31")
        country.look()
        await until(country.witness.alarms)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_edited_row_is_found_at_the_first_refresh_that_shows_a_newer_checkpoint(country) -> None:
    """One entry of the past is changed and the tree rebuilt: the home's own proof convicts it, and no other province."""
    await country.refresh()
    country.logs["31"].grow()
    country.logs["31"].rewrite(100)
    country.logs["11"].grow()
    country.publish("31")
    country.publish("11")
    assert await country.refresh() == ["31 AUDIT_FORK"]
    assert sorted(country.results) == [("11", "PROVED"), ("31", "AUDIT_FORK")]
    country.publish("31")
    country.start()
    assert await country.refresh() == ["31 AUDIT_FORK"]
    assert len(country.results) == 2


@pytest.mark.parametrize("change", ["shrunk", "same size"])
async def test_checkpoints_that_contradict_need_no_question(country, change) -> None:
    """A shorter tree, or another root of the same size, is found without asking anybody."""
    country.logs["31"].grow()
    await country.refresh()
    if change == "shrunk":
        del country.logs["31"].leaves[256:]
    else:
        country.logs["31"].rewrite(511)
    country.publish("31")
    assert await country.refresh() == ["31 AUDIT_FORK"]
    assert country.asked == []


async def test_two_histories_shown_to_two_provinces_meet_at_the_next_checkpoint(tmp_path) -> None:
    """Whatever the home publishes next, it continues one of the histories at most: the other province finds the fork."""
    countries = [Country(tmp_path / name) for name in ("a", "b")]
    countries[1].logs["31"].rewrite(7)
    for each in countries:
        assert await each.refresh() == []
    countries[1].logs["31"] = countries[0].logs["31"]
    countries[0].logs["31"].grow()
    found = []
    for each in countries:
        each.publish("31")
        found.append(await each.refresh())
    assert found == [[], ["31 AUDIT_FORK"]]


def swapped(home, data):
    """The proof of another province."""
    other = decode_consistency(data).proof
    return sign_consistency(replace(other, home="11"), private_key("11", KeyPurpose.ANSWER), REALM)


def elsewhere(home, data):
    """The home's own proof about another log, kept from before."""
    other = decode_consistency(data).proof
    question = replace(other.question, log=b"X" * 16)
    return sign_consistency(replace(other, question=question), private_key(home, KeyPurpose.ANSWER), REALM)


def forged(home, data):
    """A wrong path, signed by whoever carries it."""
    proof = decode_consistency(data).proof
    return sign_consistency(replace(proof, path=(b"x" * 32,)), PrivateKey(b"g" * 32), REALM)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda _, data: data[:-1] + bytes([data[-1] ^ 1]), "SIGNATURE_INVALID"),
        (lambda _, data: data[:40] + bytes([data[40] ^ 1]) + data[41:], None),
        (lambda _, data: b"", "MALFORMED_MESSAGE"),
        (swapped, "SIGNATURE_INVALID"),
        (elsewhere, "SIGNATURE_INVALID"),
        (forged, "SIGNATURE_INVALID"),
        (lambda *_: UnavailableError("down", reason=Reason.HOME_UNAVAILABLE), "HOME_UNAVAILABLE"),
    ],
)
async def test_a_gateway_frames_nobody(country, lie, reason) -> None:
    """What it swaps, corrupts, forges or withholds is unproved, an alarm after a day, and forgotten after a proof."""
    await country.refresh()
    country.logs["31"].grow()
    country.publish("31")
    country.changes = lie
    assert await country.refresh() == []
    assert country.unproved == {"31": NOW}
    if reason is not None:
        assert country.results == [("31", reason)]
    country.clock.at += 86_400
    assert await country.refresh() == ["31 AUDIT_UNPROVED"]
    country.changes = lambda _, data: data
    assert await country.refresh() == []
    assert country.unproved == {}


async def test_a_restored_province_is_restarted_and_not_forked(country) -> None:
    """Its new log is an alarm by another name, until a person accepts it; then its growth is proved again."""
    await country.refresh()
    country.logs["31"] = MemoryLog("second")
    country.publish("31")
    assert await country.refresh() == ["31 AUDIT_RESTARTED"]
    country.logs["31"].grow()
    country.publish("31")
    assert await country.refresh() == ["31 AUDIT_RESTARTED"]
    assert country.asked == []
    country.file.change("31", lambda known: accept_restart(known, country.logs["31"].log))
    assert await country.refresh() == []
    assert await country.refresh() == []
    assert country.results == [("31", "PROVED")]


async def test_a_province_that_left_raises_no_alarm(country) -> None:
    """What is kept of it stays; it is only not shown."""
    await country.refresh()
    country.logs["31"].leaves[0] = b"x" * 32
    country.publish("31")
    assert await country.refresh() == ["31 AUDIT_FORK"]
    country.witness.look(view(issuer("11"), issuer("44")))
    await country.witness.record()
    assert country.witness.alarms() == ()
    assert country.file.read()["31"].fork is not None


async def test_what_the_disk_refuses_is_looked_at_again(country) -> None:
    """A checkpoint that could not be recorded is recorded by the next attempt."""
    await country.refresh()
    country.logs["31"].rewrite()
    country.publish("31")
    change = country.file.change

    def full(*_):
        raise UnavailableError("the disk is full", reason=Reason.STORAGE_FULL)

    country.file.change = full
    with pytest.raises(UnavailableError):
        await country.refresh()
    country.file.change = change
    assert await country.refresh() == ["31 AUDIT_FORK"]


def test_a_home_proves_what_it_has_and_nothing_else(world) -> None:
    """Signed with the ANSWER key; another log, or a size that it has not reached, is refused by name."""
    log = MemoryLog(blocks=3)
    prove = ProveUseCase(
        participant="31",
        realm=world.realm.realm,
        keyring=world.keyring,
        log=log,
        trust=lambda: world.view,
        clock=world.clock,
    )
    signed = decode_consistency(prove.prove(GrowthQuestion(log.log, 256, 768)))
    assert signed.proof.proves(log.checkpoint(256), log.checkpoint())
    assert world.view.issuers["31"].keys[signed.sign1.kid].purpose is KeyPurpose.ANSWER
    for wrong in (GrowthQuestion(b"x" * 16, 256, 768), GrowthQuestion(log.log, 256, 1024)):
        with pytest.raises(NotFoundError) as caught:
            prove.prove(wrong)
        assert caught.value.reason is Reason.AUDIT_LOG_UNKNOWN
    with pytest.raises(HealthcodeError):
        prove.prove(GrowthQuestion(log.log, 0, 256))
