"""Realms: their names, and the prefix of their codes."""

import pytest

from healthcode.errors import InvalidInputError, Reason
from healthcode.identity.realm import check_realm, code_prefix, is_test_realm


@pytest.mark.parametrize("realm", ["cn", "test-a", "test-demo-2", "test-" + "x" * 32])
def test_good_names_pass(realm):
    """A name that holds comes back as it is."""
    assert check_realm(realm) == realm


@pytest.mark.parametrize(
    "realm",
    ["", "CN", "cn ", "cn\n", "test", "test-", "test-A", "test-" + "x" * 33, "prod", "xcn", "x" * 10_000],
)
def test_other_names_are_refused(realm):
    """Anything else is a typed error with a short message."""
    with pytest.raises(InvalidInputError) as caught:
        check_realm(realm)
    assert caught.value.reason is Reason.REALM_MISMATCH
    assert len(caught.value.message) < 200


def test_the_prefix_tells_real_from_test():
    """One prefix for cn, another for every test realm."""
    assert (code_prefix("cn"), code_prefix("test-a")) == ("CNHC1:", "CNHT1:")
    assert not is_test_realm("cn")
    assert is_test_realm("test-a")
