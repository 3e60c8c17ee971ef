"""One shape of `check` for all services."""

from __future__ import annotations

import json
import socket
from typing import Any

import click
import pytest

from healthcode.cli.finding import (
    Finding,
    Grade,
    look,
    look_at_clock,
    look_at_files,
    look_at_port,
    print_findings,
)
from healthcode.errors import ConfigurationError, UnavailableError
from healthcode.storage.owner import acting_as_owner
from tests.world.clock import NOW
from tests.world.users import IS_ROOT, OTHER, folder_of


def fail(error: Exception) -> str:
    raise error


def test_files_that_the_owner_cannot_read_are_named() -> None:
    """As root's of an older release, in a service's folder: a warning, with the command that mends it."""
    with folder_of(OTHER) as folder:
        for name in ("keys/live.key", "proposals/one.json"):
            path = folder / name
            path.parent.mkdir(mode=0o755)
            path.touch()
            path.chmod(0o600 if IS_ROOT else 0)
        with acting_as_owner(folder):
            found = look_at_files(folder)
        assert found.grade is Grade.WARNING
        assert "keys/live.key, proposals/one.json" in found.detail
        # numbers: a user without a name is `#54321`, which a shell takes for a comment
        assert f"`chown -R {OTHER}:" in found.detail
        assert f" {folder.absolute()}`" in found.detail
        assert look_at_files(folder / "keys").grade is (Grade.OK if IS_ROOT else Grade.WARNING)


def test_a_port_that_is_taken_is_a_warning() -> None:
    """It may be taken by the very service that is checked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert look_at_port("listen", address).grade is Grade.WARNING
    assert look_at_port("listen", address) == Finding("listen", Grade.OK, f"{address} is free")
    assert look_at_port("metrics", None).grade is Grade.OK


def test_an_address_that_is_not_of_this_machine_fails() -> None:
    """`serve` would end there, too."""
    for address in ("no-such-host.invalid:8443", "203.0.113.1:8443"):
        found = look_at_port("listen", address)
        assert (found.grade, found.exit_status) == (Grade.FAILED, 2)


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([], 0),
        ([UnavailableError("gone")], 4),
        ([UnavailableError("gone"), ConfigurationError("wrong")], 2),
    ],
)
def test_the_status_is_that_of_the_start(
    capsys: pytest.CaptureFixture[str], errors: list[Exception], status: int
) -> None:
    """What must be set right here comes before what may be back by itself; warnings stop nothing."""
    findings = [Finding("a", Grade.WARNING, "old"), *(look("b", lambda e=e: fail(e)) for e in errors)]  # type: ignore[misc]  # the default binds it
    ended = 0
    try:
        print_findings(findings, as_json=True)
    except click.exceptions.Exit as exit_:
        ended = exit_.exit_code
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert ended == status
    assert data["ready"] is (status == 0)
    assert data["findings"][0] == {"what": "a", "grade": "WARNING", "detail": "old"}
    assert [one["grade"] for one in data["findings"][1:]] == ["FAILED"] * len(errors)


def test_a_refusal_is_something_to_set_right_here(capsys: pytest.CaptureFixture[str]) -> None:
    """`check` ends with 2 or 4, whatever the finding was raised as."""
    for status, wanted in ((1, 2), (2, 2), (4, 4)):
        with pytest.raises(click.exceptions.Exit) as ended:
            print_findings([Finding("registry", Grade.FAILED, "another CA", status)], as_json=True)
        assert ended.value.exit_code == wanted
    assert '"ready": false' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("on_disk", "served", "grade", "word"),
    [
        (-60, -30, Grade.OK, "30 s ago"),
        (-86_400, -300, Grade.OK, "300 s ago"),
        (-86_400, -301, Grade.FAILED, "301 s ahead"),
        (None, 301, Grade.FAILED, "301 s or more behind"),
        (301, None, Grade.FAILED, "301 s or more behind"),
        (-86_400, None, Grade.WARNING, "not compared"),
    ],
)
def test_a_clock_is_found_that_is_wrong_either_way(
    on_disk: int | None, served: int | None, grade: Grade, word: str
) -> None:
    """Old trust on disk shows no clock that is ahead; what the registry serves does."""
    signed = [None if each is None else NOW + each for each in (on_disk, served)]
    found = look_at_clock(NOW, on_disk=signed[0], served=signed[1])
    assert (found.grade, word in found.detail) == (grade, True)
    assert ("set the clock" in found.detail) is (grade is Grade.FAILED)
