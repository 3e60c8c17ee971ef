"""The next version of targets."""

from healthcode.trust.format.metadata import signing_keys
from healthcode.trust.format.new_metadata import new_targets
from healthcode.trust.format.next_metadata import with_province
from healthcode.trust.format.tuf_keys import tuf_key
from tests.simulator.realm import NOW, fixed_key

A, B, C = (fixed_key(name) for name in "abc")


def test_a_province_replaced_leaves_no_old_key_behind() -> None:
    """After a handover the old authority's keys are gone from targets."""
    targets = new_targets(version=1, files={}, area_keys=[C.public], now=NOW)
    first = with_province(targets, "31", [A.public], 1)
    second = with_province(first, "31", [B.public], 1)
    assert signing_keys(second.signed, "province-31") == (frozenset({B.public}), 1)
    assert second.signed.delegations is not None
    assert set(second.signed.delegations.keys) == {tuf_key(B.public).keyid, tuf_key(C.public).keyid}
    assert targets.signed.delegations is not None
    assert "province-31" not in (targets.signed.delegations.roles or {})
