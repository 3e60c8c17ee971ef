"""What operators watch: checks before the start, status, deadlines, lagging nodes."""
