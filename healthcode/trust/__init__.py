"""Trust: who may say what in the federation, as signed files that anybody may carry (The Update Framework)."""
