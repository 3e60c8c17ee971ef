"""An authority of participant 31, and officers whose keys the test has."""

from __future__ import annotations

import hashlib
from typing import Any

from healthcode.identity.role import Role
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.authority_chain import new_link
from healthcode.trust.format.json_files import OfficersReference
from province_node.officers.officers_file import Officer, OfficersFile, sign_officers_file

REALM, HOME = "test-x", "31"
NOW = 1_800_000_000
DAY = 86_400
KEYS = tuple(PrivateKey(bytes([each]) * 32) for each in (1, 2, 3))
LINK = new_link(HOME, KEYS, 2, REALM, created=NOW - DAY)
LI, WANG = PrivateKey(b"\x11" * 32), PrivateKey(b"\x12" * 32)


def spki(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def public_key(name: str) -> str:
    return f"sha256:{spki(name).hex()}"


LI_ROW = Officer(
    name="li",
    spki_sha256=spki("li"),
    sign_key=LI.public,
    roles=(Role.HEALTH_OFFICER,),
    unit="Municipal CDC",
    until=NOW + 100 * DAY,
)
WANG_ROW = Officer(
    name="wang",
    spki_sha256=spki("wang"),
    sign_key=WANG.public,
    roles=(Role.APPROVER,),
    unit="Health Commission",
    until=NOW + 100 * DAY,
)


def officers_file(*officers: Officer, version: int = 2, signers: int = 2, **changes: Any) -> OfficersFile:
    fields = {
        "realm": REALM,
        "participant": HOME,
        "version": version,
        "expires": NOW + 50 * DAY,
        "link": LINK,
        "officers": officers or (LI_ROW, WANG_ROW),
    } | changes
    return sign_officers_file(OfficersFile(**fields), KEYS[:signers])


def reference(file: OfficersFile) -> OfficersReference:
    return OfficersReference(version=file.version, sha256=file.digest)
