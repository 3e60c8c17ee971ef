"""What the node knows of holders: pseudonyms and levels."""
