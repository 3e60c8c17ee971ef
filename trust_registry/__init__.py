"""The trust registry: serves trust files that are signed by their owners, so clients need not trust it."""
