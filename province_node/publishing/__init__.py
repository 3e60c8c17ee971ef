"""Publishes this province's revocation heads, and watches its entry and heads in the trust files."""
