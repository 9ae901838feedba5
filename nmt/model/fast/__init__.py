"""Other implementations of the model's interfaces, laid out for speed and tested against the plain ones.

`lstm_layer` and `gru_layer` run a layer over whole sequences on a CPU, with their own backward pass; `packed` is what
they share. `additive_score` computes the scores of additive attention chunk by chunk. `linear` has the linear maps of
inference (prepacked, bf16, int8), `cell` the LSTM's cell over them, and `inference` assembles a model for search from
these, with the wiring of `nmt.model.encoder` and `nmt.model.decoder`.
"""
