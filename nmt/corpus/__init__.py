"""Subword ids to batches."""
