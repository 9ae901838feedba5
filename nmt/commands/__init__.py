"""The command line: one module per command; only this package and config.py use Hydra."""
