"""What is published already is not published again, and what is older never is."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from healthcode.errors import ConflictError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.authority_chain import link_mark, new_link
from healthcode.trust.format.key_possession import prove_key
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.new_metadata import new_province_metadata
from healthcode.trust.verify.join_request import JoinRequest
from province_node.publishing.own_entry import (
    Entry,
    accept_entry,
    expect_entry,
    is_newer,
    read_entry_state,
    watch_entry,
)
from tests.simulator.realm import NOW

REALM = "test-entry"
KEY = PrivateKey(b"a" * 32)


def bundle(version: int, province_json: bytes = b"{}") -> JoinRequest:
    metadata = new_province_metadata(
        "31",
        version=version,
        province_json=province_json,
        live_public=KEY.public,
        live_possession=prove_key("31", KeyPurpose.HEAD, KEY, REALM),
        now=NOW,
    )
    return JoinRequest(
        realm=REALM,
        participant="31",
        link=new_link("31", [KEY], 1, REALM, created=NOW),
        metadata=to_bytes(metadata),
        province_json=province_json,
    )


def standing(version: int, province_json: bytes = b"{}") -> SimpleNamespace:
    return SimpleNamespace(province_version=version, province_sha256=hashlib.sha256(province_json).digest())


def test_a_newer_version_is_published():
    """The next one, and one after a gap, which is for the registry to judge."""
    assert is_newer(bundle(3), standing(2))


def test_the_one_that_stands_is_no_news():
    """The same again is no mistake, and nothing to do."""
    assert not is_newer(bundle(2), standing(2))


def test_an_older_one_says_so():
    """An operator who took the wrong file hears it, and is not told of a success."""
    with pytest.raises(
        ConflictError, match="version 1 is older than the published 2: nothing was done"
    ) as found:
        is_newer(bundle(1), standing(2))
    assert found.value.exit_status == 1


def test_another_content_of_the_version_that_stands():
    """Two files of one version: the other one is published."""
    with pytest.raises(ConflictError, match="published with another content"):
        is_newer(bundle(2, b'{"x":1}'), standing(2))


def test_an_entry_that_is_gone_rings_unless_it_was_announced(tmp_path):
    """Operators who take the delegation back are seen by whose it was; a retirement that was announced is none."""
    asked = bundle(1)
    expect_entry(tmp_path, asked)
    # before it is admitted there is nothing to miss
    assert watch_entry(tmp_path, None, NOW).alarm is None
    entry = Entry(link_mark(asked.link), 1, hashlib.sha256(asked.province_json).hexdigest(), 1)
    assert watch_entry(tmp_path, entry, NOW).alarm is None
    assert watch_entry(tmp_path, None, NOW, leaves=True).alarm is None
    assert "removed this province's delegation" in (watch_entry(tmp_path, None, NOW).alarm or "")
    # it stays, also when the entry is back, until a person has looked
    assert watch_entry(tmp_path, entry, NOW).alarm is not None
    accept_entry(tmp_path, entry)
    assert watch_entry(tmp_path, entry, NOW).alarm is None


def test_a_command_and_the_running_node_lose_nothing_of_each_other(tmp_path):
    """The state is read and written under a lock: what two note at once is noted twice."""
    asked = [bundle(version, b'{"v":%d}' % version) for version in range(1, 13)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda each: expect_entry(tmp_path, each), asked))
    noted = {entry.version for entry in read_entry_state(tmp_path).expected}
    assert noted == set(range(1, 13))
