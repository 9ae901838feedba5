"""A corpus -> what to know before training on it: one module for each examination."""
