"""The door: one module per command; only these and config.py know Hydra."""
