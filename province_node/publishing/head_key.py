"""Explains why no HEAD key of a node can publish, and what to do."""

from __future__ import annotations

from collections.abc import Collection

from healthcode.trust.view import IssuerView

__all__ = ["PUBLISH_KEYS", "head_key_fault"]

PUBLISH_KEYS = (
    "have the authority sign request.json on its machine (`province-node authority sign --request request.json`), "
    "then `province-node publish --bundle bundle.json`"
)
"""How the keys of a request are published."""


def head_key_fault(heads: Collection[bytes], issuer: IssuerView) -> str | None:
    """Why none of these public HEAD keys can publish for `issuer`; None when one of them can."""
    if any(key in issuer.live_keys for key in heads):
        return None
    if not heads:
        return (
            "the HEAD key is missing in this node's folder, so nothing can be published: the registry takes no "
            "revocation and no key is killed for others. Restore it from the backup of this folder; or make another: "
            f"`province-node keys rotate --purpose HEAD`, {PUBLISH_KEYS}. What is revoked meanwhile is kept, "
            "and goes out then"
        )
    return (
        "no HEAD key in this node's folder is the published one, so the registry takes no revocation and no key is "
        "killed for others: the published key was lost and another was made, which is not published yet; or the folder "
        "is from before the last `keys rotate --purpose HEAD`, as a backup may be. Restore a newer backup; or publish "
        f"the key that is here: `province-node request`, {PUBLISH_KEYS}. What is revoked meanwhile is kept, and goes "
        "out then"
    )
