"""Files to sentence pairs to subword ids."""
