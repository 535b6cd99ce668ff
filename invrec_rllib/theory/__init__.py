"""What is best possible."""
