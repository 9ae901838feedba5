"""From batches to log-probabilities: the papers' equations, one module for each part of the model.

Read `cell`, `layer`, `recurrent`, `encoder`, `attention`, `bridge`, `output`, `decoder`, `seq2seq`, in this order. The
package `fast` has other implementations of the same interfaces, laid out for speed; `implementation=reference` does
without them.

The names of tensors end in their shape, one letter for each dimension, in the whole project:

    B  sentences of a batch          N  rows of a state or of search (B, or up to B·K)
    S  source positions, EOS incl.   K  hypotheses kept in the beam
    T  target positions, time steps  C  candidates of a row
    V  vocabulary                    M  real target tokens of a batch, without padding
    E  embedding, input of a layer   P  packed positions: all time steps one after the other, without padding
    H  units of a layer              L  layers
    G  gates, such as 4·H            I, O  inputs and outputs of a linear map
    A  units of attention's score    D  an output of the encoder, as attention reads it
    Q  queries of a sentence
    X  any size                      1, 2, …  a dimension of this size
"""
