"""From subword ids to batches."""
