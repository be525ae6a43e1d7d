"""What an alert says, and how it reaches people."""
