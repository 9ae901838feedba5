"""The decoder: one step, and a whole sequence with teacher forcing (Sutskever et al. 2014, §2).

One wiring serves all decoders of the family; every part but the layers is optional:

    x = [embedding; source vector; last readout (input feeding); context of the state before (attention before)]
    lower layers read x
    context of their output (attention between), which joins the input of every upper layer
    upper layers
    context of their output (attention after)
    readout of the top state, the context and the embedding; output layer

If nothing flows back from attention or readout to the next step, training runs each part over the whole target at once;
otherwise it steps, as search does.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from nmt.choices import AttentionPlacement, AttentionScore, Bridge, ReadoutInput, TiedEmbeddings
from nmt.config import ModelConfig
from nmt.corpus.share import BatchShare
from nmt.model.attention import Attend, Attention, MemoryRows, SourceMemory, source_padding
from nmt.model.bridge import BridgeLayer, StateShape
from nmt.model.cell import CELLS, LinearMap, MapMaker, PlainMap
from nmt.model.decoder_shape import DecoderShape, decoder_shape
from nmt.model.decoder_state import DecoderState
from nmt.model.dropout import Noise
from nmt.model.encoder import Encoding, encoder_shape, rate_of
from nmt.model.output import OutputLayer, Readout, ReadoutLayer, SharedEmbedding, TiedLinear
from nmt.model.recurrent import CellStack, Dropouts, LayerStack, RecurrentState

T = TypeVar("T")


class Advanced(NamedTuple):
    """The result of the layers in one step.

    Attributes:
        context_NX: of attention, or the source vector; None if the decoder has neither.
    """

    top_NH: Tensor
    context_NX: Tensor | None
    state: DecoderState


class DecoderWiring:
    """How the parts of a decoder are connected for one step, over any linear maps.

    Attributes:
        embed: what layers and readout read of a token.
        output: the output layer.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        embed: Callable[[Tensor], Tensor],
        lower: CellStack,
        upper: CellStack | None,
        attend: Attend | None,
        readout: Readout,
        output: LinearMap,
    ) -> None:
        self._config = config
        self.embed = embed
        self.output = output
        self._lower, self._upper = lower, upper
        self._attend, self._readout = attend, readout

    def step(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read the previous token of each row; returns the logits of the next, `(N, V)`, and the new state."""
        readout_NX, state = self.read(prev_N, state)
        return self.output(readout_NX), state

    def read(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make a step without the output layer; returns what that layer reads, and the new state."""
        embedded_NX = self.embed(prev_N)
        advanced = self.advance(embedded_NX, embedded_NX, state)
        readout_NX = self.read_out(advanced, embedded_NX)
        return readout_NX, self.feed(readout_NX, advanced.state)

    def advance(self, lowest_NX: Tensor, embedded_NX: Tensor, state: DecoderState) -> Advanced:
        """Run the layers and attention over one step.

        Args:
            lowest_NX: the embedding as the lowest layer reads it; as the other parts read it, `embedded_NX`.
        """
        config, memory = self._config, state.memory
        placement = config.attention_placement if self._attend is not None else None
        context_NX: Tensor | None = None
        more: list[Tensor] = []
        if config.source_vector and memory is not None and memory.vector_BX is not None and state.rows is not None:
            context_NX = memory.vector_BX.index_select(0, state.rows.sentence_N)
            more.append(context_NX)
        if state.feed_NX is not None:
            more.append(state.feed_NX)
        if placement == AttentionPlacement.before:
            context_NX, state = self._attend_to(state.recurrent.layers[-1][0], state)
            more.append(context_NX)
        skipped = (embedded_NX, *more) if config.input_skip else ()
        if self._upper is None:
            top_NH, recurrent = self._lower.step((lowest_NX, *more), state.recurrent, skipped=skipped)
        else:
            num_lower = len(self._lower.cells)
            lower, upper = state.recurrent.layers[:num_lower], state.recurrent.layers[num_lower:]
            top_NH, below = self._lower.step((lowest_NX, *more), RecurrentState(lower))
            context_NX, state = self._attend_to(top_NH, state)
            top_NH, above = self._upper.step((top_NH,), RecurrentState(upper), joined=(context_NX, *skipped))
            recurrent = RecurrentState(below.layers + above.layers)
        if placement == AttentionPlacement.after:
            context_NX, state = self._attend_to(top_NH, state)
        return Advanced(top_NH, context_NX, state._replace(recurrent=recurrent))

    def read_out(self, advanced: Advanced, embedded_NX: Tensor) -> Tensor:
        """Return the readout of a step."""
        return self._readout(readout_inputs(self._config, advanced.top_NH, advanced.context_NX, embedded_NX))

    def feed(self, readout_NX: Tensor, state: DecoderState) -> DecoderState:
        """Keep a readout for the next step, if the decoder reads it."""
        return state._replace(feed_NX=readout_NX) if self._config.input_feeding else state

    def _attend_to(self, query_NH: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return the context of each row, and the state with its attention weights counted."""
        assert self._attend is not None
        assert state.memory is not None
        assert state.rows is not None
        grid_BQH = state.rows.to_grid(query_NH, state.memory.num_sentences)
        attended = self._attend(grid_BQH, state.memory)
        context_NX = state.rows.from_grid(attended.context_BQD)
        if state.coverage_NS is not None:
            weight_NS = state.rows.from_grid(attended.weight_BQS)
            state = state._replace(coverage_NS=state.coverage_NS + weight_NS)
        return context_NX, state


def readout_inputs(config: ModelConfig, top: T, context: T | None, embedded: T) -> list[T]:
    """Choose what the readout reads."""
    inputs = [top]
    if config.readout_input != ReadoutInput.state and context is not None:
        inputs.append(context)
    if config.readout_input == ReadoutInput.state_context_embedding:
        inputs.append(embedded)
    return inputs


class HoistedMap:
    """W x + b of an input whose first part has been mapped before, for all steps in one matmul."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, *, first_dim: int) -> None:
        self.map_first = PlainMap(weight_OI[:, :first_dim], bias_O)
        self._map_rest = PlainMap(weight_OI[:, first_dim:], None) if weight_OI.shape[1] > first_dim else None

    def __call__(self, *inputs: Tensor) -> Tensor:
        mapped_NO, *rest = inputs
        return mapped_NO if self._map_rest is None else mapped_NO + self._map_rest(*rest)


class Decoder(nn.Module):
    """A decoder with parameters."""

    output: OutputLayer
    embedding: nn.Embedding | SharedEmbedding

    def __init__(self, config: ModelConfig, vocab_size: int, *, src_embedding: nn.Embedding) -> None:
        super().__init__()
        self.config = config
        self.shape = shape = decoder_shape(config)
        if config.tied_embeddings == TiedEmbeddings.both:
            self.embedding = SharedEmbedding(src_embedding)
        else:
            zeros_VE = torch.zeros(vocab_size, shape.embedding_dim)
            self.embedding = nn.Embedding.from_pretrained(zeros_VE, freeze=False)  # type: ignore[no-untyped-call]
        dropouts = Dropouts(rate_of(config.dropout_layers, config), config.dropout_recurrent)
        self.rnn = LayerStack(shape.lower, name="decoder", dropouts=dropouts)
        self.upper = None if shape.upper is None else LayerStack(shape.upper, name="decoder", dropouts=dropouts)
        self.attention = _attention(config, shape)
        dim = shape.lower.hidden_dim
        encoder = encoder_shape(config)
        encoder_dims = [encoder.output_dim(index) for index in range(encoder.num_layers)]
        final_dim = CELLS[config.cell].num_parts * sum(encoder_dims)
        self.source_vector = nn.Linear(encoder_dims[-1], dim) if config.source_vector else None
        self.bridge = BridgeLayer(
            config.bridge,
            StateShape(shape.num_layers, CELLS[config.cell].num_parts, dim),
            input_dim=shape.value_dim if config.bridge == Bridge.mean else dim if config.source_vector else final_dim,
        )
        self.readout = ReadoutLayer(
            config.readout, shape.readout_input_dim, dim=shape.readout_dim, bottleneck=config.output_bottleneck
        )
        if config.tied_embeddings == TiedEmbeddings.none:
            self.output = nn.Linear(self.readout.output_dim, vocab_size)
        else:
            self.output = TiedLinear(self.embedding, vocab_size)

    def start(self, encoding: Encoding) -> DecoderState:
        """Begin the translation of each sentence; one row per sentence."""
        config, num_sentences = self.config, encoding.output_SBH.shape[1]
        vector_BX = None
        if self.source_vector is not None:
            vector_BX = torch.tanh(self.source_vector(encoding.final.layers[-1][0]))
        recurrent = self.bridge(encoding, vector_BX)
        memory, rows = None, None
        if self.attention is not None:
            values_BSD = encoding.output_SBH.transpose(0, 1).contiguous()
            padding_BS = source_padding(encoding.lengths_B, values_BSD)
            memory = SourceMemory(self.attention.keys(values_BSD), values_BSD, padding_BS, vector_BX)
        elif vector_BX is not None:
            memory = SourceMemory(None, None, None, vector_BX)
        if memory is not None:
            rows = MemoryRows(torch.arange(num_sentences, device=encoding.output_SBH.device), is_identity=True)
        feed_NX = encoding.output_SBH.new_zeros(num_sentences, self.shape.feed_dim) if config.input_feeding else None
        return DecoderState(recurrent, memory, rows, feed_NX)

    def step(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make one step without dropout: see `DecoderWiring.step`."""
        return self.wiring().step(prev_N, state)

    def read(self, prev_N: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make one step without dropout and output layer: see `DecoderWiring.read`."""
        return self.wiring().read(prev_N, state)

    def wiring(
        self, noise: Noise | None = None, *, num_rows: int = 0, lowest_input: MapMaker = PlainMap
    ) -> DecoderWiring:
        """Return the wiring over these parameters; see `LayerStack.stepping` for the arguments."""
        upper = None if self.upper is None else self.upper.stepping(noise, num_rows=num_rows)
        return DecoderWiring(
            self.config,
            embed=self.embedding,
            lower=self.rnn.stepping(noise, num_rows=num_rows, lowest_input=lowest_input),
            upper=upper,
            attend=None if self.attention is None else self.attention.over(),
            readout=self.readout.over(),
            output=self.output,
        )

    def forward(
        self, tgt_in_BT: Tensor, state: DecoderState, *, sampling: float = 0.0, share: BatchShare | None = None
    ) -> Tensor:
        """Run over `BOS y_1 … y_n` (teacher forcing); returns what the output layer reads, `(T, B, H)`.

        The output layer is left to the caller, who applies it to real tokens only.

        Args:
            sampling: the probability with which a token is not y_t, but sampled from the model's prediction (scheduled
                sampling, Bengio et al. 2015, §2.4); the decoder then runs step by step.
            share: which rows of a larger batch these are, for random choices.
        """
        config, noise = self.config, Noise(self.config.dropout_mask, share) if self.training else None
        tgt_in_TB = tgt_in_BT.t()
        embedded_TBE = self._embed(tgt_in_TB, noise)
        is_before = self.attention is not None and config.attention_placement == AttentionPlacement.before
        if config.input_feeding or is_before or sampling > 0:
            return self._run_steps(tgt_in_TB, embedded_TBE, state, noise, sampling=sampling)
        return self._run_at_once(embedded_TBE, state, noise)

    if TYPE_CHECKING:
        __call__ = forward

    def _embed(self, token_XB: Tensor, noise: Noise | None) -> Tensor:
        """Embed tokens, `(…, B, E)`, with dropout."""
        embedded_XBE = self.embedding(token_XB)
        if noise is None:
            return embedded_XBE
        embedded_XBE = noise.drop_words(embedded_XBE, self.config.dropout_tgt_word)
        return noise.drop("target", embedded_XBE, rate_of(self.config.dropout_tgt_embedding, self.config))

    def _run_at_once(self, embedded_TBE: Tensor, state: DecoderState, noise: Noise | None) -> Tensor:
        """Run each part over the whole target."""
        memory, attend = state.memory, None if self.attention is None else self.attention.over()
        input_TBX, context_TBX = embedded_TBE, None
        if self.source_vector is not None and memory is not None and memory.vector_BX is not None:
            context_TBX = memory.vector_BX.expand(len(embedded_TBE), -1, -1)
            input_TBX = torch.cat((embedded_TBE, context_TBX), dim=2)
        num_lower = self.shape.lower.num_layers
        lower, upper = (RecurrentState(layers) for layers in _cut(state.recurrent.layers, num_lower))
        top_TBH, _ = self.rnn(input_TBX, lower, noise=noise)
        if attend is not None and memory is not None:
            context_TBX = attend(top_TBH.transpose(0, 1), memory).context_BQD.transpose(0, 1)
            if self.upper is not None:
                skipped = [input_TBX] if self.config.input_skip else []
                joined_TBX = torch.cat((context_TBX, *skipped), dim=2)
                top_TBH, _ = self.upper(top_TBH, upper, joined_TBX=joined_TBX, noise=noise)
        readout_TBX = self.readout.over()(readout_inputs(self.config, top_TBH, context_TBX, embedded_TBE))
        return self._drop_readout(readout_TBX, noise)

    def _run_steps(
        self, tgt_in_TB: Tensor, embedded_TBE: Tensor, state: DecoderState, noise: Noise | None, *, sampling: float
    ) -> Tensor:
        """Run step by step; what does not depend on the step before is computed for all steps at once."""
        hoisted: list[HoistedMap] = []

        def hoist(weight_OI: Tensor, bias_O: Tensor | None) -> LinearMap:
            hoisted.append(HoistedMap(weight_OI, bias_O, first_dim=self.shape.embedding_dim))
            return hoisted[0]

        wiring = self.wiring(noise, num_rows=embedded_TBE.shape[1], lowest_input=hoist)
        lowest_TBG = hoisted[0].map_first(embedded_TBE)
        choice = noise or Noise(self.config.dropout_mask)
        needs_readout = self.config.input_feeding or sampling > 0
        steps: list[Advanced] = []
        readouts: list[Tensor] = []
        for prev_B, lowest_BG, embedded_BE in zip(tgt_in_TB, lowest_TBG.unbind(), embedded_TBE.unbind(), strict=True):
            if sampling > 0 and readouts:
                embedded_BE = self._embed(self._sample(readouts[-1], prev_B, sampling, choice), noise)
                lowest_BG = hoisted[0].map_first(embedded_BE)
            advanced = wiring.advance(lowest_BG, embedded_BE, state)
            steps.append(advanced)
            state = advanced.state
            if needs_readout:
                readouts.append(self._drop_readout(wiring.read_out(advanced, embedded_BE), noise))
                state = wiring.feed(readouts[-1], state)
        if readouts:
            return torch.stack(readouts)
        contexts = [step.context_NX for step in steps if step.context_NX is not None]
        together = Advanced(
            torch.stack([step.top_NH for step in steps]), torch.stack(contexts) if contexts else None, state
        )
        return self._drop_readout(wiring.read_out(together, embedded_TBE), noise)

    @torch.no_grad()
    def _sample(self, readout_BX: Tensor, token_B: Tensor, probability: float, choice: Noise) -> Tensor:
        """Replace each token, with a probability, by one that the model predicts."""
        predicted_BV = torch.softmax(self.output(readout_BX).float(), dim=1)
        sampled_B = choice.choose(predicted_BV)
        is_kept_B = choice.uniform(predicted_BV[:, 0]) >= probability
        return torch.where(is_kept_B, token_B, sampled_B)

    def _drop_readout(self, readout_X: Tensor, noise: Noise | None) -> Tensor:
        if noise is None:
            return readout_X
        return noise.drop("readout", readout_X, rate_of(self.config.dropout_readout, self.config))


def _cut(layers: Sequence[tuple[Tensor, ...]], size: int) -> tuple[tuple[tuple[Tensor, ...], ...], ...]:
    return tuple(layers[:size]), tuple(layers[size:])


def _attention(config: ModelConfig, shape: DecoderShape) -> Attention | None:
    if config.attention == AttentionScore.none:
        return None
    dim = shape.lower.hidden_dim
    return Attention(
        config.attention,
        query_dim=dim,
        value_dim=shape.value_dim,
        dim=config.attention_dim or dim,
        num_heads=config.attention_heads,
    )
