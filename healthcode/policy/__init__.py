"""National policy: what to do with what was found, as signed data, the same for every node."""
