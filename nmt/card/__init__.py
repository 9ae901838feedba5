"""The model card of a checkpoint: what is known about it, and what is not."""
