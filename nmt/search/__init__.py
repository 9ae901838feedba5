"""From parameters to translations."""
