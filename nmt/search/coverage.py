"""The coverage penalty: translations should attend to all of their source (Wu et al. 2016, §7, equation 14).

    cp(X; Y) = β Σ_i log(min(Σ_j p_ij, 1))

p_ij is the attention weight of source subword i at target token j. The sum over i leaves out EOS, which has no
translation; the sum over j includes it.
"""

import torch
from torch import Tensor

from nmt.model.decoder_state import DecoderState


def log_coverage(state: DecoderState) -> Tensor:
    """Return the sum over i of each row, `(N,)`, from the coverage that the state has counted; never above 0.

    A subword without any attention counts as one with the smallest normal number.
    """
    assert state.coverage_NS is not None
    assert state.memory is not None
    assert state.rows is not None
    coverage_NS, padding_BS = state.coverage_NS, state.memory.padding_BS
    position_S = torch.arange(coverage_NS.shape[1], device=coverage_NS.device)
    if padding_BS is None:
        is_word_NS = (position_S < len(position_S) - 1).expand_as(coverage_NS)
    else:
        num_words_B1 = (padding_BS == 0).sum(1, keepdim=True) - 1
        is_word_NS = position_S < num_words_B1.index_select(0, state.rows.sentence_N)
    log_NS = coverage_NS.clamp(torch.finfo(coverage_NS.dtype).tiny, 1.0).log_()
    return log_NS.masked_fill_(~is_word_NS, 0.0).sum(1)
