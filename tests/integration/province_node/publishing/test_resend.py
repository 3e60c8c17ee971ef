"""What the registry has lost of ours is handed in again, as it lies in the trust folder."""

from __future__ import annotations

from pathlib import Path

from healthcode.errors import ConflictError, Reason
from province_node.publishing.resend import Resend
from tests.simulator.country import Country


class Registry:
    """Takes what an authority signed, and remembers it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, bytes]] = []
        self.signed_anew = 0
        self.error: Exception | None = None

    async def send_province(self, request_id: str, metadata: bytes, province_json: bytes) -> int:
        self.taken.append((request_id, metadata, province_json))
        if self.error is not None:
            raise self.error
        return 2

    def sign_again(self) -> None:
        self.signed_anew += 1


def resending(country: Country, registry: Registry, *, folder: str = "A") -> Resend:
    return Resend("31", country.root / folder, registry.send_province, registry.sign_again)


def country_with_a_renewed_authority(root: Path) -> Country:
    country = Country(root)
    country.revoke("31", 1)
    country.publish_province("31", 2)
    country.refresh("A")
    return country


async def test_the_authoritys_files_go_as_they_are_and_the_head_is_signed_anew(tmp_path: Path) -> None:
    """The very bytes that the authority signed, so that nobody fetches its keys; under one request id."""
    country, registry = country_with_a_renewed_authority(tmp_path), Registry()
    ours = resending(country, registry)
    for _ in range(2):
        await ours.resend(["province-31", "province-31-live"])
    assert {each[1:] for each in registry.taken} == {country.provinces["31"].publication(2)}
    assert len({each[0] for each in registry.taken}) == 1
    assert registry.signed_anew == 2


async def test_only_what_is_asked_for_and_only_our_own(tmp_path: Path) -> None:
    """Nobody hands in for another, and a role that is not ours means nothing."""
    country, registry = country_with_a_renewed_authority(tmp_path), Registry()
    ours = resending(country, registry)
    await ours.resend(["province-44", "province-44-live", "targets"])
    assert (registry.taken, registry.signed_anew) == ([], 0)
    await ours.resend(["province-31-live"])
    assert (registry.taken, registry.signed_anew) == ([], 1)


async def test_a_refusal_or_an_empty_folder_stops_nothing(tmp_path: Path) -> None:
    """It is logged; the head is signed anew all the same, and the registry asks again."""
    country, registry = country_with_a_renewed_authority(tmp_path), Registry()
    registry.error = ConflictError("older", reason=Reason.VERSION_CONFLICT)
    await resending(country, registry).resend(["province-31", "province-31-live"])
    await resending(country, registry, folder="nowhere").resend(["province-31", "province-31-live"])
    assert (len(registry.taken), registry.signed_anew) == (1, 2)
