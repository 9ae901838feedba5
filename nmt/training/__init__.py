"""From log-probabilities to parameters."""
