"""Where trust files come from: a registry, a mirror over HTTP, a folder."""
