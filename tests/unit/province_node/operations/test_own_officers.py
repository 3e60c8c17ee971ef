"""`check` and `status` tell of the officers file: missing, expired, and before it expires."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.errors import PermissionDeniedError
from healthcode.settings import TlsSettings
from healthcode.trust.view import IssuerView
from province_node.officers.officers_file import encode_officers_file
from province_node.operations.own_officers import describe_own_officers, officers_warnings
from province_node.settings import NodeSettings, RegistrySettings
from tests.unit.province_node.officers.world import DAY, LI_ROW, NOW, REALM, officers_file, reference
from tests.unit.province_node.world import World


def test_operators_are_told_before_the_file_and_an_appointment_end(world: World, tmp_path: Path) -> None:
    """Nothing is said without officers and while all is well; else what is wrong, who, and until when."""
    tls = tmp_path / "none.pem"
    settings = NodeSettings(
        participant="31",
        realm=REALM,
        listen="127.0.0.1:1",
        issuer_listen="127.0.0.1:2",
        officers=tmp_path / "officers",
        tls=TlsSettings(certificate=tls, private_key=tls, ca=tls),
        registry=RegistrySettings(endpoint="127.0.0.1:3", ca=tls, root_fingerprint=f"sha256:{'0' * 64}"),
    )
    bare = world.view.issuers["31"]
    assert officers_warnings(settings, bare, NOW) == []
    assert "none published" in describe_own_officers(settings, None, NOW)
    file = officers_file(LI_ROW)
    issuer: IssuerView = replace(bare, officers=reference(file))
    assert "OFFICERS_FILE_MISSING" in officers_warnings(settings, issuer, NOW)[0]
    with pytest.raises(PermissionDeniedError):
        describe_own_officers(settings, issuer, NOW)
    settings.officers.mkdir()
    (settings.officers / "2.json").write_bytes(encode_officers_file(file))
    assert officers_warnings(settings, issuer, NOW) == []
    assert describe_own_officers(settings, issuer, NOW).startswith("version 2, 1 officers")
    assert "expires" in officers_warnings(settings, issuer, NOW + 21 * DAY)[0]
    assert "OFFICERS_FILE_EXPIRED" in officers_warnings(settings, issuer, file.expires)[0]
    brief = officers_file(LI_ROW.model_copy(update={"until": NOW + 5 * DAY}), version=3)
    (settings.officers / "3.json").write_bytes(encode_officers_file(brief))
    [told] = officers_warnings(settings, replace(bare, officers=reference(brief)), NOW)
    assert "appointment of officer li ends" in told
    assert not (settings.officers / "admitted").exists()
