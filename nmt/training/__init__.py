"""Log-probabilities to parameters."""
