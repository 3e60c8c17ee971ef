"""What trust files look like: documents, delegations, paths, TUF metadata."""
