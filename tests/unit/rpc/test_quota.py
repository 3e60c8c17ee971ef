"""Quota: who is one caller, and that a place is given back."""

from contextlib import suppress

import pytest

from healthcode.errors import OverloadedError
from healthcode.rpc.quota import Quota, address_of


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.5:4711", "10.0.0.5"),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:4711", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:10.0.0.5]:4711", "10.0.0.5"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::/64"),
        ("unix:/run/node.sock", "unix:/run/node.sock"),
        ("something else", "something else"),
    ],
)
def test_an_address_is_one_whatever_its_port(peer: str, address: str) -> None:
    """Another port, or another address of one IPv6 network, makes no other caller."""
    assert address_of(peer) == address


def test_a_place_is_given_back() -> None:
    """Also when what was done in it failed."""
    quota = Quota(1, per_address=1)
    for _ in range(3):
        with suppress(ZeroDivisionError), quota.take(None, "10.0.0.5"):
            with pytest.raises(OverloadedError), quota.take(None, "10.0.0.6"):
                pass
            raise ZeroDivisionError
    assert quota.taken == 0
