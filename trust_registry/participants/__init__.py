"""What provinces send: join requests, province files, revocation heads."""
