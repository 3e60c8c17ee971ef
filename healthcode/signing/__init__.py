"""The one place that touches keys: Ed25519 by one acceptance rule, key files, passphrases, Argon2id."""
