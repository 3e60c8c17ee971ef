"""The format of trust files: JSON files, delegations, paths, TUF metadata."""
