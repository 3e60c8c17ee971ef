"""The command `trust-registry`: one module for each group of commands."""
