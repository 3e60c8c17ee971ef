"""What operators draft, sign and publish."""
