"""The officers of a province: the file that the authority signs, who is in it now, and what they sign."""
