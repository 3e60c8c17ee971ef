"""Running a command in this process, and a trust folder to run it on."""

from __future__ import annotations

from pathlib import Path

from healthcode.cli.__main__ import cli
from healthcode.identity.document import decode_document
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import sign_code
from healthcode.wire.holder_tag import holder_tag
from tests.simulator.realm import NOW, SimulatedRealm
from tests.world.command import Done, run_here

NUMBER = "11010519491231002X"  # the example of GB 11643
SALT = bytes(8)


def healthcode(*arguments: str | Path, stdin: bytes = b"") -> Done:
    """`healthcode …`, with `stdin` on its standard input."""
    return run_here(cli, *arguments, stdin=stdin)


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


def carry(realm: SimulatedRealm, tree: Path) -> Path:
    """The realm's files as they are now, in a folder."""
    for path, data in realm.files.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return tree


def init(realm: SimulatedRealm, source: str | Path, folder: Path, *more: str | Path) -> Done:
    given = ("--source", source, "--root-fingerprint", realm.fingerprint, "--dir", folder, *more)
    return healthcode("trust", "init", *given, "--json")
