"""Certificates, identities and TLS: who is at the other end of a connection."""
