"""From files to sentence pairs to subword ids."""
