"""Who and what is named in the federation: realms, participants, documents, names, peers."""
