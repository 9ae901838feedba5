"""Left-to-right beam search over a `StepScorer` (Sutskever et al. 2014, §3.2). It knows ids only.

Each time step ranks all continuations of a sentence's live hypotheses. Those among the top K that end in EOS finish;
the K best others live on, unless they can no longer come among the n best. A sentence is done when nothing of it lives
or at its maximum length. Sentences leave the batch when they are done and others enter, so that rows of one batch may
be of different ages.

The bookkeeping is done in numpy on the CPU: arrays are small, and numpy's calls cost a fraction of torch's.

Shapes: B sentences in the batch, K beam, N live rows (at most B·K), C candidates per row, R = 2K ranks, F = n_best
finished hypotheses per sentence, T subwords of the longest live hypothesis.
"""

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from nmt.config import LengthPenaltyKind, SearchConfig
from nmt.errors import ConfigError
from nmt.schema import setting_problems
from nmt.search.scorer import EncodedSource, StepScorer
from nmt.text.subword import BOS_ID, EOS_ID

StateT = TypeVar("StateT")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]

# Share of the places that must be free before others enter. Greedy search without refilling took 1.3 times as long;
# any share from 0.02 to 0.25 served equally well.
REFILL_SHARE = 0.125
# Sources that the scorer reads at once, however few places are free: reading only as many as there were places took up
# to three times as long.
READ_AT_ONCE = 128


class Hypothesis(NamedTuple):
    """A translation found by search.

    Attributes:
        ids: target subwords without EOS.
        log_prob: log-probability in nats, that of EOS included if it is finished.
        score: what hypotheses are ranked by: log_prob over the length penalty.
        finished: whether it ends in EOS; if not, the maximum length cut it short.
    """

    ids: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool


class Found(NamedTuple):
    """The hypotheses of one sentence, best first: n_best of them, or as many as finished."""

    sentence: int
    hypotheses: tuple[Hypothesis, ...]


def check_search_config(config: SearchConfig) -> None:
    """Report all that is wrong with a search config at once.

    Raises:
        ConfigError: with every problem in one line.
    """
    beam, n_best, batch_rows = config.beam_size, config.n_best, config.batch_rows
    problems = list(setting_problems(config, prefix="search."))
    if n_best > max(beam, 1):
        problems.append(f"search.n_best must be at most search.beam_size ({beam}), but is {n_best}")
    if batch_rows < beam:
        problems.append(f"search.batch_rows must be at least search.beam_size ({beam}), but is {batch_rows}")
    if problems:
        raise ConfigError("; ".join(problems))


def length_penalty(num_tokens: npt.ArrayLike, config: SearchConfig) -> Floats:
    """Return lp(Y) = ((5 + |Y|) / 6)^alpha, EOS counted in |Y| (Wu et al. 2016, §7); 1 without a penalty."""
    alpha = 0.0 if config.length_penalty.kind == LengthPenaltyKind.none else config.length_penalty.alpha
    penalty: Floats = ((5.0 + np.asarray(num_tokens, dtype=np.float64)) / 6.0) ** alpha
    return penalty


def max_len_subwords(source: EncodedSource, config: SearchConfig) -> int:
    """Return how many subwords a translation may have before its EOS; at least `min_len`, and at least one."""
    return max(int(config.max_len_ratio * source.num_subwords) + config.max_len_extra, config.min_len, 1)


@dataclass
class Finished:
    """The best finished hypotheses of every sentence, best first; of equal scores, the one that finished first."""

    score_BF: Floats  # -inf where there is none yet
    log_prob_BF: Floats
    ids_BF: Objects  # tuples of subwords without EOS; None where there is none yet

    def select(self, sentences_B: Ints) -> "Finished":
        return Finished(self.score_BF[sentences_B], self.log_prob_BF[sentences_B], self.ids_BF[sentences_B])

    def concat(self, other: "Finished") -> "Finished":
        return Finished(
            np.concatenate((self.score_BF, other.score_BF)),
            np.concatenate((self.log_prob_BF, other.log_prob_BF)),
            np.concatenate((self.ids_BF, other.ids_BF)),
        )


@dataclass
class BeamState(Generic[StateT]):
    """The sentences of the batch and their live hypotheses, one per row."""

    scorer_state: StateT  # N rows, behind all tokens but `prev_N`
    place_N: Ints  # b·K + k, ascending: row n is the k-th best hypothesis of sentence b
    prev_N: Ints  # the last token, not yet read by the scorer
    log_prob_N: Floats
    ids_NT: Ints  # the subwords so far; row n fills the first `len_B[place_N[n] // K]` columns
    sentence_B: Ints  # position in the list of sources
    len_B: Ints  # subwords so far
    max_len_B: Ints
    finished: Finished


class Continuations(NamedTuple):
    """The 2K best continuations of every sentence, best first; -inf where there are fewer.

    Attributes:
        parent_BR: the row that is continued.
    """

    log_prob_BR: Floats
    parent_BR: Ints
    token_BR: Ints


def start(
    scorer_state: StateT, sources: Sequence[EncodedSource], sentences: Sequence[int], config: SearchConfig
) -> BeamState[StateT]:
    """Begin the given sentences, which `scorer_state` has read, each with one live hypothesis: BOS."""
    num, f = len(sentences), config.n_best
    entering = [sources[sentence] for sentence in sentences]
    return BeamState(
        scorer_state=scorer_state,
        place_N=np.arange(num) * config.beam_size,
        prev_N=np.full(num, BOS_ID),
        log_prob_N=np.zeros(num),
        ids_NT=np.empty((num, 0), dtype=np.int64),
        sentence_B=np.array(sentences, dtype=np.int64),
        len_B=np.zeros(num, dtype=np.int64),
        max_len_B=np.array([max_len_subwords(source, config) for source in entering], dtype=np.int64),
        finished=Finished(np.full((num, f), -np.inf), np.full((num, f), -np.inf), np.full((num, f), None)),
    )


def join(
    scorer: StepScorer[StateT], first: BeamState[StateT], second: BeamState[StateT], config: SearchConfig
) -> BeamState[StateT]:
    """Put the sentences of `second` behind those of `first`."""
    width = max(first.ids_NT.shape[1], second.ids_NT.shape[1])
    padded = [np.pad(ids_NT, ((0, 0), (0, width - ids_NT.shape[1]))) for ids_NT in (first.ids_NT, second.ids_NT)]
    return BeamState(
        scorer_state=scorer.concat(first.scorer_state, second.scorer_state),
        place_N=np.concatenate((first.place_N, second.place_N + len(first.sentence_B) * config.beam_size)),
        prev_N=np.concatenate((first.prev_N, second.prev_N)),
        log_prob_N=np.concatenate((first.log_prob_N, second.log_prob_N)),
        ids_NT=np.concatenate(padded),
        sentence_B=np.concatenate((first.sentence_B, second.sentence_B)),
        len_B=np.concatenate((first.len_B, second.len_B)),
        max_len_B=np.concatenate((first.max_len_B, second.max_len_B)),
        finished=first.finished.concat(second.finished),
    )


def expand(scorer: StepScorer[StateT], beams: BeamState[StateT], config: SearchConfig) -> tuple[Continuations, StateT]:
    """Step the scorer and rank the continuations of every sentence; also returns the scorer's state behind the step.

    K + 1 candidates per row are enough. The K best that live on come at most all from one row, where at most EOS
    stands among them; an EOS among a sentence's top K stands among its row's top K. And 2K ranks per sentence are
    enough: each of its at most K rows has one EOS, so that among 2K continuations K go on.
    """
    beam, num_sentences, num_rows = config.beam_size, len(beams.sentence_B), len(beams.prev_N)
    # greedy search ends at an EOS that comes first, and so needs a second candidate only where EOS is forbidden
    num_candidates = 1 if beam == 1 and config.min_len == 0 else beam + 1
    candidates = scorer.step(torch.from_numpy(beams.prev_N), beams.scorer_state, num_candidates)
    token_NC: Ints = candidates.token_NC.numpy()
    log_prob_NC: Floats = candidates.log_prob_NC.numpy() + beams.log_prob_N[:, None]
    if config.min_len:
        too_short_N = beams.len_B[beams.place_N // beam] < config.min_len
        log_prob_NC[too_short_N[:, None] & (token_NC == EOS_ID)] = -np.inf

    width = token_NC.shape[1]
    log_prob_BX = np.full((num_sentences * beam, width), -np.inf)
    log_prob_BX[beams.place_N] = log_prob_NC
    log_prob_BX = log_prob_BX.reshape(num_sentences, beam * width)
    row_at_place = np.zeros(num_sentences * beam, dtype=np.int64)
    row_at_place[beams.place_N] = np.arange(num_rows)
    # a stable order: of equal continuations, that of the better hypothesis comes first
    best_BR = np.argsort(-log_prob_BX, axis=1, kind="stable")[:, : 2 * beam]
    parent_BR = row_at_place[np.arange(num_sentences)[:, None] * beam + best_BR // width]
    continuations = Continuations(
        log_prob_BR=np.take_along_axis(log_prob_BX, best_BR, axis=1),
        parent_BR=parent_BR,
        token_BR=token_NC[parent_BR, best_BR % width],
    )
    return continuations, candidates.state


def finish(beams: BeamState[StateT], continuations: Continuations, config: SearchConfig) -> Finished:
    """Add the continuations among the top K that end in EOS to the finished hypotheses, and keep the F best."""
    finished, beam = beams.finished, config.beam_size
    log_prob_BK = continuations.log_prob_BR[:, :beam]
    score_BK = log_prob_BK / length_penalty(beams.len_B + 1, config)[:, None]
    # a score that only equals the worst of F does not displace it
    enters_BK = (continuations.token_BR[:, :beam] == EOS_ID) & (score_BK > finished.score_BF[:, -1:])
    if not enters_BK.any():
        return finished
    ids_BK = np.full(enters_BK.shape, None)
    for b, k in zip(*np.nonzero(enters_BK), strict=True):
        ids_BK[b, k] = tuple(beams.ids_NT[continuations.parent_BR[b, k], : beams.len_B[b]].tolist())
    merged = Finished(
        np.concatenate((finished.score_BF, np.where(enters_BK, score_BK, -np.inf)), axis=1),
        np.concatenate((finished.log_prob_BF, log_prob_BK), axis=1),
        np.concatenate((finished.ids_BF, ids_BK), axis=1),
    )
    best_BF = np.argsort(-merged.score_BF, axis=1, kind="stable")[:, : config.n_best]
    return Finished(*(np.take_along_axis(array, best_BF, axis=1) for array in vars(merged).values()))


def keep_live(
    beams: BeamState[StateT],
    continuations: Continuations,
    finished: Finished,
    config: SearchConfig,
    *,
    stop_early: bool,
) -> Bools:
    """Say which continuations live on, `(B, R)`: the K best that do not end and that can still come among the n best.

    What is dropped is hopeless for sure. Log-probabilities only fall and the length penalty only grows, so that no
    continuation of a hypothesis scores above its log-probability over the penalty at maximum length; where that does
    not beat the F-th finished one, it can go. What then takes its place in the ranking is less probable, thus hopeless
    too: the n best stay what they would be.
    """
    is_word_BR = (continuations.token_BR != EOS_ID) & (continuations.log_prob_BR > -np.inf)
    lives_BR: Bools = is_word_BR & (np.cumsum(is_word_BR, axis=1) <= config.beam_size)
    lives_BR[beams.len_B == beams.max_len_B] = False
    if stop_early:
        bound_BR = continuations.log_prob_BR / length_penalty(beams.max_len_B + 1, config)[:, None]
        lives_BR &= bound_BR > finished.score_BF[:, -1:]
    if config.beam_size == 1:  # greedy search stops at its first EOS, whatever the length penalty
        lives_BR[finished.score_BF[:, 0] > -np.inf] = False
    return lives_BR


def best(beams: BeamState[StateT], finished: Finished, b: int, config: SearchConfig) -> Found:
    """Return the finished hypotheses of sentence b of the batch, or else its live ones as `beams` holds them."""
    num_finished = int((finished.score_BF[b] > -np.inf).sum())
    if num_finished:
        hypotheses = [
            Hypothesis(finished.ids_BF[b, f], float(finished.log_prob_BF[b, f]), float(finished.score_BF[b, f]), True)
            for f in range(num_finished)
        ]
    else:
        rows = np.flatnonzero(beams.place_N // config.beam_size == b)[: config.n_best]
        num_subwords = int(beams.len_B[b])
        penalty = float(length_penalty(num_subwords, config))
        hypotheses = [
            Hypothesis(
                tuple(beams.ids_NT[row, :num_subwords].tolist()),
                float(beams.log_prob_N[row]),
                float(beams.log_prob_N[row]) / penalty,
                False,
            )
            for row in rows
        ]
    return Found(int(beams.sentence_B[b]), tuple(hypotheses))


def _grow(
    scorer: StepScorer[StateT],
    beams: BeamState[StateT],
    continuations: Continuations,
    lives_BR: Bools,
    *,
    scorer_state: StateT,
    finished: Finished,
    config: SearchConfig,
) -> BeamState[StateT]:
    """Turn the continuations that live on into the rows of the next time step; sentences without any are left out."""
    beam = config.beam_size
    going_on = np.flatnonzero(lives_BR.any(axis=1))
    b_N, rank_N = np.nonzero(lives_BR)
    parent_N = continuations.parent_BR[b_N, rank_N]
    token_N = continuations.token_BR[b_N, rank_N]
    k_N = (np.cumsum(lives_BR, axis=1) - 1)[b_N, rank_N]
    len_N = beams.len_B[b_N]
    ids_NT = np.zeros((len(b_N), int(len_N.max()) + 1), dtype=np.int64)
    ids_NT[:, :-1] = beams.ids_NT[parent_N, : ids_NT.shape[1] - 1]
    ids_NT[np.arange(len(b_N)), len_N] = token_N
    if not np.array_equal(parent_N, np.arange(len(beams.prev_N))):  # where no row moves, copying them all is a waste
        scorer_state = scorer.select(scorer_state, torch.from_numpy(parent_N))
    return BeamState(
        scorer_state=scorer_state,
        place_N=np.searchsorted(going_on, b_N) * beam + k_N,
        prev_N=token_N,
        log_prob_N=continuations.log_prob_BR[b_N, rank_N],
        ids_NT=ids_NT,
        sentence_B=beams.sentence_B[going_on],
        len_B=beams.len_B[going_on] + 1,
        max_len_B=beams.max_len_B[going_on],
        finished=finished.select(going_on),
    )


def advance(
    scorer: StepScorer[StateT], beams: BeamState[StateT], config: SearchConfig, *, stop_early: bool
) -> tuple[BeamState[StateT] | None, list[Found]]:
    """Make one time step; returns what goes on, if anything does, and the sentences that are done."""
    continuations, scorer_state = expand(scorer, beams, config)
    finished = finish(beams, continuations, config)
    lives_BR = keep_live(beams, continuations, finished, config, stop_early=stop_early)
    goes_on_B = lives_BR.any(axis=1)
    done = [best(beams, finished, int(b), config) for b in np.flatnonzero(~goes_on_B)]
    if not goes_on_B.any():
        return None, done
    grown = _grow(scorer, beams, continuations, lives_BR, scorer_state=scorer_state, finished=finished, config=config)
    return grown, done


class Supply:
    """The sources of a search, handed out in order, `num_at_once` at a time; several threads may take from it."""

    def __init__(self, num_sources: int, num_at_once: int) -> None:
        self._num_sources = num_sources
        self._num_at_once = num_at_once
        self._num_taken = 0
        self._lock = threading.Lock()

    def take(self) -> range:
        """Return the positions of the next sources; none where there are no more."""
        with self._lock:
            first = self._num_taken
            self._num_taken = min(first + self._num_at_once, self._num_sources)
            return range(first, self._num_taken)


class Entrance(Generic[StateT]):
    """Where sources wait for a place in the batch; the scorer reads many of them at once."""

    def __init__(
        self, scorer: StepScorer[StateT], sources: Sequence[EncodedSource], supply: Supply, config: SearchConfig
    ) -> None:
        self._scorer = scorer
        self._sources = sources
        self._supply = supply
        self._config = config
        self._read = self._waiting = range(0)
        self._state: StateT  # one row for each source of `_read`

    def admit(self, num_places: int) -> BeamState[StateT] | None:
        """Begin at most `num_places` sources; None where none is left."""
        if not self._waiting:
            self._read = self._waiting = self._supply.take()
            if not self._read:
                return None
            self._state = self._scorer.start([self._sources[index] for index in self._read])
        entering, self._waiting = self._waiting[:num_places], self._waiting[num_places:]
        state = self._state
        if entering != self._read:
            state = self._scorer.select(state, torch.arange(len(entering)) + (entering.start - self._read.start))
        if not self._waiting:
            del self._state  # all its rows are on their way
        return start(state, self._sources, entering, self._config)


def max_read_at_once(config: SearchConfig) -> int:
    """Return how many sources to read at once: enough for the encoder, and for greedy search to fill its batch."""
    return max(min(READ_AT_ONCE, config.batch_rows), config.batch_rows // config.beam_size)


def search_by_step(
    scorer: StepScorer[StateT],
    sources: Sequence[EncodedSource],
    supply: Supply,
    config: SearchConfig,
    *,
    stop_early: bool = True,
) -> Iterator[list[Found]]:
    """Search what `supply` hands out; yields after every time step what is done with it."""
    places = config.batch_rows // config.beam_size
    entrance = Entrance(scorer, sources, supply, config)
    beams: BeamState[StateT] | None = None
    while True:
        num_free = places - (0 if beams is None else len(beams.sentence_B))
        if beams is None or num_free >= REFILL_SHARE * places:
            entered = entrance.admit(num_free)
            if entered is not None:
                beams = entered if beams is None else join(scorer, beams, entered, config)
        if beams is None:
            return
        beams, done = advance(scorer, beams, config, stop_early=stop_early)
        yield done


def search_as_found(
    scorer: StepScorer[StateT], sources: Sequence[EncodedSource], config: SearchConfig, *, stop_early: bool = True
) -> Generator[Found]:
    """Search all sources and yield each as soon as it is done; `sources` of similar length should stand together.

    Args:
        stop_early: False goes on to maximum length, to show that stopping changes nothing.
    """
    supply = Supply(len(sources), max_read_at_once(config))
    for done in search_by_step(scorer, sources, supply, config, stop_early=stop_early):
        yield from done
