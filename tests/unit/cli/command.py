"""Running a command in this process, and a trust folder to run it on."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from healthcode.cli.__main__ import cli
from healthcode.cli.console import run
from healthcode.identity.document import decode_document
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code
from healthcode.wire.holder_tag import holder_tag
from tests.simulator.realm import NOW, SimulatedRealm

NUMBER = "11010519491231002X"  # the example of GB 11643
SALT = bytes(8)


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def healthcode(*arguments: str | Path, stdin: bytes = b"") -> Done:
    """`healthcode …`, with `stdin` on its standard input."""
    out, err, given = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            run(cli, [str(argument) for argument in arguments])
    finally:
        sys.stdin = given
    assert "Traceback" not in err.getvalue()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def code(
    realm: SimulatedRealm,
    *,
    level: Level = Level.GREEN,
    index: int = 7,
    tagged: bool = False,
    signer: PrivateKey | None = None,
) -> str:
    """A LIVE code of Shanghai, good for half an hour from NOW; `tagged`: for the holder of NUMBER; `signer`: under another key."""
    claims = CodeClaims(
        issuer="31",
        issued_at=NOW,
        expires_at=NOW + 1800,
        not_before=None,
        version=1,
        level=level,
        rule="R1",
        index=index,
        presentation=Presentation.LIVE,
        shown_by_relative=False,
        tag=holder_tag(decode_document("10", NUMBER), SALT) if tagged else None,
        salt=SALT if tagged else None,
        name="张*三",
    )
    return sign_code(claims, signer or realm.provinces["31"].keys[KeyPurpose.LIVE], realm.realm)
