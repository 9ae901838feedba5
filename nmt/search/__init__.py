"""Parameters to translations."""
