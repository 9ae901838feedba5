"""Translations to a verdict."""
