"""Area risk: operators approve new content, and the online areas key signs what they approved."""
