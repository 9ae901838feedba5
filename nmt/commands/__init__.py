"""The command line: one module per command; only these and config.py know Hydra."""
