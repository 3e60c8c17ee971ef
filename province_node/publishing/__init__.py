"""Publishes this province's revocation heads, and watches what is published in its name."""
