"""The model card of a checkpoint: what its run knows, and what it does not."""
