"""Proposals: operators and root holders draft, sign and publish them."""
