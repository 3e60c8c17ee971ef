"""A listener's TLS files while it serves."""

from __future__ import annotations

from pathlib import Path

from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.tls import ServerTls, TlsReloader
from tests.world.certificates import Certificates
from tests.world.clock import NOW, ManualClock
from tests.world.log import json_log


def test_strangers_that_connect_do_not_fill_the_log(tmp_path: Path) -> None:
    """Each new connection looks at the files: a fault in them is told three times a minute, not each time."""
    files = Certificates(tmp_path, now=NOW).tls(PeerId("test-x", PeerKind.GATEWAY))
    with json_log() as stream:
        reloader = TlsReloader(ServerTls(files, client_cas=list, clock=ManualClock()))
        files.certificate.rename(files.certificate.with_suffix(".aside"))
        for _ in range(500):
            assert reloader._fetch() is None
    assert stream.getvalue().count("tls_reload_refused") == 3


def test_refused_files_are_told_until_they_are_good(tmp_path: Path) -> None:
    """Whoever watches sees that a listener does not use the files on disk, and that it does again."""
    files = Certificates(tmp_path, now=NOW).tls(PeerId("test-x", PeerKind.GATEWAY))
    told: list[int] = []
    reloader = TlsReloader(ServerTls(files, client_cas=list, clock=ManualClock()), tell_refused=told.append)
    aside = files.certificate.with_suffix(".aside")
    files.certificate.rename(aside)
    reloader._fetch()
    aside.rename(files.certificate)
    reloader._fetch()
    assert told == [1, 0]
