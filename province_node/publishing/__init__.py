"""Publishes this province's revocation head."""
