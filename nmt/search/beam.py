"""Left-to-right beam search over a `StepScorer` (Sutskever et al. 2014, §3.2). It handles only ids.

Each time step ranks all continuations of a sentence's live hypotheses by log-probability. Those among the top K that
end in EOS finish; the K best others stay live, unless they can no longer be among the n best. A sentence is done when
it has no live hypotheses left, or at its maximum length. Sentences leave the batch when they are done and others enter,
so that a batch has sentences at different time steps.

    search                      all sentences of a queue, one time step after the other
      start, join               new sentences enter the batch
      advance                   one time step:
        expand                    score and rank the continuations
        finish                    what ends in EOS leaves the beam
        keep_live                 the K best others stay live
        grow                      these become the rows of the next step

Beams are numpy arrays on the CPU: they are small, and a call of numpy costs a fraction of one of torch.
"""

import contextlib
import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from nmt.choices import ReplaceUnk
from nmt.config import SearchConfig
from nmt.errors import ConfigError
from nmt.schema import setting_problems
from nmt.search.hypothesis import Finished, Floats, Hypothesis, Ints, length_penalty
from nmt.search.scorer import Candidates, EncodedSource, StepScorer
from nmt.search.source_queue import Entering, SourceQueue, SourceReader, num_read_at_once
from nmt.search.threads import side_by_side
from nmt.text.subword import BOS_ID, EOS_ID

StateT = TypeVar("StateT")
Bools = npt.NDArray[np.bool_]

# Share of the batch that must be free before other sentences enter. Greedy search without refilling took 1.3 times as
# long; any share from 0.02 to 0.25 was equally fast.
REFILL_SHARE = 0.125


class SearchResult(NamedTuple):
    """The hypotheses of one sentence, best first: n_best of them, or as many as finished."""

    sentence: int  # its position in the list of sources
    hypotheses: tuple[Hypothesis, ...]


@dataclass
class Beams(Generic[StateT]):
    """The sentences of the batch and their live hypotheses, one per row.

    `slot`, `token` and `log_prob` have the shape `(rows,)`, `ids` has `(rows, time steps)`; `sentence`, `length` and
    `max_len` have `(sentences,)`. Every sentence has K slots: slot b·K + k holds the k-th best hypothesis of sentence
    b. Rows are in the order of their slots; an empty slot has no row.
    """

    scorer_state: StateT  # after all tokens but the last
    slot: Ints
    token: Ints  # the last one, which the scorer has not read yet
    log_prob: Floats
    ids: Ints  # the subwords so far: those of a row fill its first columns, as many as `length` of its sentence
    sentence: Ints  # position in the list of sources
    length: Ints  # subwords so far
    max_len: Ints
    finished: Finished


class Continuations(NamedTuple, Generic[StateT]):
    """The 2K best continuations of every sentence, best first; -inf if there are fewer.

    `log_prob`, `parent` and `token` have the shape `(sentences, 2K)`.
    """

    scorer_state: StateT  # after the step, a row for each parent
    log_prob: Floats
    parent: Ints  # the row that is continued
    token: Ints
    coverage_penalty: Floats | None  # of each parent, if it ends now; None without this penalty


def beam_search(
    scorer: StepScorer[StateT],
    sources: Sequence[EncodedSource],
    config: SearchConfig,
    *,
    progress: Callable[[int], None] | None = None,
    num_searches: int = 1,
) -> list[tuple[Hypothesis, ...]]:
    """Return the n best hypotheses of every source, best first, or fewer if fewer finished.

    If none finished within the maximum length, the unfinished ones are returned. Sources of similar length should be
    next to each other.

    Args:
        progress: called with the number of sources done since the last call.
        num_searches: the number of parallel searches, in threads, among which `batch_rows` is divided; see
            `choose_num_searches`. With several, log-probabilities may differ in their last bits from run to run, since
            it depends on the timing of the threads which sentences share a batch.

    Raises:
        ConfigError: if the config is invalid.
    """
    check_search_config(config)
    num_searches = max(1, min(num_searches, len(sources), config.batch_rows // config.beam_size))
    own_config = replace(config, batch_rows=config.batch_rows // num_searches)
    queue = SourceQueue(sources, num_read_at_once(own_config, len(sources), num_searches=num_searches))
    searches = [search(scorer, queue, own_config) for _ in range(num_searches)]
    hypotheses: list[tuple[Hypothesis, ...]] = [()] * len(sources)
    # closing: an error in `progress` must also end the threads
    with contextlib.closing(searches[0] if num_searches == 1 else side_by_side(searches)) as steps:
        for done in steps:
            for result in done:
                hypotheses[result.sentence] = result.hypotheses
                if progress is not None:
                    progress(1)
    return hypotheses


def search(scorer: StepScorer[StateT], queue: SourceQueue, config: SearchConfig) -> Generator[list[SearchResult]]:
    """Search for translations of the queue's sources; yields the sentences that are done after each time step."""
    max_sentences = config.batch_rows // config.beam_size
    reader = SourceReader(scorer, queue)
    beams: Beams[StateT] | None = None
    while True:
        room = max_sentences - (0 if beams is None else len(beams.sentence))
        if beams is None or room >= REFILL_SHARE * max_sentences:
            entering = reader.take(room)
            if entering is not None:
                started = start(entering, config)
                beams = started if beams is None else join(scorer, beams, started, config)
        if beams is None:
            return
        beams, done = advance(scorer, beams, config)
        yield done


def start(entering: Entering[StateT], config: SearchConfig) -> Beams[StateT]:
    """Begin sentences, each with one live hypothesis: BOS."""
    num = len(entering.sentences)
    return Beams(
        scorer_state=entering.state,
        slot=np.arange(num) * config.beam_size,
        token=np.full(num, BOS_ID),
        log_prob=np.zeros(num),
        ids=np.empty((num, 0), dtype=np.int64),
        sentence=np.array(entering.sentences, dtype=np.int64),
        length=np.zeros(num, dtype=np.int64),
        max_len=np.array([max_len_subwords(source, config) for source in entering.sources], dtype=np.int64),
        finished=Finished.none_yet(num, config.n_best),
    )


def join(
    scorer: StepScorer[StateT], first: Beams[StateT], second: Beams[StateT], config: SearchConfig
) -> Beams[StateT]:
    """Append the sentences of `second` to those of `first`."""
    width = max(first.ids.shape[1], second.ids.shape[1])
    padded_ids = [np.pad(beams.ids, ((0, 0), (0, width - beams.ids.shape[1]))) for beams in (first, second)]
    return Beams(
        scorer_state=scorer.concat(first.scorer_state, second.scorer_state),
        slot=np.concatenate((first.slot, second.slot + len(first.sentence) * config.beam_size)),
        token=np.concatenate((first.token, second.token)),
        log_prob=np.concatenate((first.log_prob, second.log_prob)),
        ids=np.concatenate(padded_ids),
        sentence=np.concatenate((first.sentence, second.sentence)),
        length=np.concatenate((first.length, second.length)),
        max_len=np.concatenate((first.max_len, second.max_len)),
        finished=first.finished.concat(second.finished),
    )


def advance(
    scorer: StepScorer[StateT], beams: Beams[StateT], config: SearchConfig
) -> tuple[Beams[StateT] | None, list[SearchResult]]:
    """Make one time step; returns the live hypotheses, None if there are none, and the sentences that are done."""
    continuations = expand(scorer, beams, config)
    finished = finish(beams, continuations, config)
    live = keep_live(beams, continuations, finished, config)
    is_done = ~live.any(axis=1)
    done = results_of(beams, finished, np.flatnonzero(is_done), config)
    if is_done.all():
        return None, done
    return grow(scorer, beams, continuations, finished=finished, live=live, config=config), done


def expand(scorer: StepScorer[StateT], beams: Beams[StateT], config: SearchConfig) -> Continuations[StateT]:
    """Step the scorer and rank the continuations of every sentence.

    K + 1 candidates per row are enough: at worst, all K that stay live come from one row, whose candidates contain EOS
    at most once, and an EOS among the top K of a sentence is among the top K of its row. And 2K continuations per
    sentence are enough: its rows, at most K, have one EOS each, so that at least K of 2K stay live.
    """
    beam, num_sentences, num_rows = config.beam_size, len(beams.sentence), len(beams.token)
    # greedy search ends at an EOS that comes first, and so needs a second candidate only if EOS is forbidden
    num_candidates = 1 if beam == 1 and config.min_len == 0 else beam + 1
    candidates = scorer.step(torch.from_numpy(beams.token), beams.scorer_state, num_candidates)
    token: Ints = candidates.token_NC.numpy()
    log_prob: Floats = candidates.log_prob_NC.numpy() + beams.log_prob[:, None]
    if config.min_len:
        too_short = beams.length[beams.slot // beam] < config.min_len
        log_prob[too_short[:, None] & (token == EOS_ID)] = -np.inf

    # the candidates of a sentence next to each other: (sentences, K · candidates), -inf in empty slots
    width = token.shape[1]
    by_sentence = np.full((num_sentences * beam, width), -np.inf)
    by_sentence[beams.slot] = log_prob
    by_sentence = by_sentence.reshape(num_sentences, beam * width)
    row_of_slot = np.zeros(num_sentences * beam, dtype=np.int64)
    row_of_slot[beams.slot] = np.arange(num_rows)
    # stable: of equal continuations, that of the better hypothesis comes first
    best = np.argsort(-by_sentence, axis=1, kind="stable")[:, : 2 * beam]
    parent = row_of_slot[np.arange(num_sentences)[:, None] * beam + best // width]
    return Continuations(
        scorer_state=candidates.state,
        log_prob=np.take_along_axis(by_sentence, best, axis=1),
        parent=parent,
        token=token[parent, best % width],
        coverage_penalty=_coverage_penalty(candidates, config),
    )


def _coverage_penalty(candidates: Candidates[StateT], config: SearchConfig) -> Floats | None:
    if config.coverage_penalty == 0:
        return None
    assert candidates.log_coverage_N is not None, "the scorer must count coverage"
    penalty: Floats = config.coverage_penalty * candidates.log_coverage_N.numpy().astype(np.float64)
    return penalty


def finish(beams: Beams[StateT], continuations: Continuations[StateT], config: SearchConfig) -> Finished:
    """Add the continuations among the top K that end in EOS to the finished hypotheses, and keep the n best."""
    finished, beam = beams.finished, config.beam_size
    log_prob = continuations.log_prob[:, :beam]
    score = log_prob / length_penalty(beams.length + 1, config)[:, None]
    if continuations.coverage_penalty is not None:
        score += continuations.coverage_penalty[continuations.parent[:, :beam]]
    # a score that only equals the worst of the n best does not displace it
    enters = (continuations.token[:, :beam] == EOS_ID) & (score > finished.score[:, -1:])
    if not enters.any():
        return finished
    ids = np.full(enters.shape, None)
    for b, k in zip(*np.nonzero(enters), strict=True):
        ids[b, k] = tuple(beams.ids[continuations.parent[b, k], : beams.length[b]].tolist())
    ended = Finished(np.where(enters, score, -np.inf), log_prob, ids)
    return finished.concat(ended, axis=1).best(config.n_best)


def keep_live(
    beams: Beams[StateT], continuations: Continuations[StateT], finished: Finished, config: SearchConfig
) -> Bools:
    """Return which continuations stay live, `(sentences, 2K)`: the K best without EOS, unless they are hopeless.

    Greedy search stops at its first EOS, regardless of the penalties.
    """
    is_word = (continuations.token != EOS_ID) & (continuations.log_prob > -np.inf)
    live: Bools = is_word & (np.cumsum(is_word, axis=1) <= config.beam_size)
    live[beams.length == beams.max_len] = False
    live &= ~is_hopeless(beams, continuations, finished, config)
    if config.beam_size == 1:
        live[finished.score[:, 0] > -np.inf] = False
    return live


def is_hopeless(
    beams: Beams[StateT], continuations: Continuations[StateT], finished: Finished, config: SearchConfig
) -> Bools:
    """Return which continuations can no longer be among the n best, `(sentences, 2K)`.

    Log-probabilities only decrease, the length penalty only grows, and the coverage penalty, which is added, is never
    above 0, so that no descendant of a hypothesis scores above its log-probability over the length penalty at maximum
    length. If that does not beat the n-th finished one, the hypothesis is dropped. Continuations that then move up in
    the ranking are less probable and so hopeless, too: the n best do not change.
    """
    bound = continuations.log_prob / length_penalty(beams.max_len + 1, config)[:, None]
    below: Bools = bound <= finished.score[:, -1:]
    return below


def grow(
    scorer: StepScorer[StateT],
    beams: Beams[StateT],
    continuations: Continuations[StateT],
    *,
    finished: Finished,
    live: Bools,
    config: SearchConfig,
) -> Beams[StateT]:
    """Turn the live continuations into the rows of the next time step; sentences without any are left out."""
    going_on = np.flatnonzero(live.any(axis=1))
    b, rank = np.nonzero(live)
    k = (np.cumsum(live, axis=1) - 1)[b, rank]
    parent, token, length = continuations.parent[b, rank], continuations.token[b, rank], beams.length[b]
    ids = np.zeros((len(b), int(length.max()) + 1), dtype=np.int64)
    ids[:, :-1] = beams.ids[parent, : ids.shape[1] - 1]
    ids[np.arange(len(b)), length] = token
    scorer_state = continuations.scorer_state
    if not np.array_equal(parent, np.arange(len(beams.token))):  # do not copy all rows if none moves
        scorer_state = scorer.select(scorer_state, torch.from_numpy(parent))
    return Beams(
        scorer_state=scorer_state,
        slot=np.searchsorted(going_on, b) * config.beam_size + k,
        token=token,
        log_prob=continuations.log_prob[b, rank],
        ids=ids,
        sentence=beams.sentence[going_on],
        length=beams.length[going_on] + 1,
        max_len=beams.max_len[going_on],
        finished=finished.select(going_on),
    )


def results_of(beams: Beams[StateT], finished: Finished, sentences: Ints, config: SearchConfig) -> list[SearchResult]:
    """Return the finished hypotheses of some sentences of the batch; if one has none, its live ones, unfinished."""
    results = []
    numbers, of_sentences = beams.sentence[sentences].tolist(), finished.select(sentences).hypotheses()
    for b, number, hypotheses in zip(sentences.tolist(), numbers, of_sentences, strict=True):
        results.append(SearchResult(number, tuple(hypotheses or _unfinished(beams, b, config))))
    return results


def _unfinished(beams: Beams[StateT], b: int, config: SearchConfig) -> list[Hypothesis]:
    # rows are in the order of their slots
    rows = slice(*np.searchsorted(beams.slot, [b * config.beam_size, (b + 1) * config.beam_size]))
    length = int(beams.length[b])
    penalty = float(length_penalty(length, config))
    live = zip(beams.ids[rows, :length].tolist(), beams.log_prob[rows].tolist(), strict=True)
    return [
        Hypothesis(tuple(ids), log_prob, log_prob / penalty, False)
        for ids, log_prob in itertools.islice(live, config.n_best)
    ]


def max_len_subwords(source: EncodedSource, config: SearchConfig) -> int:
    """Return how many subwords a translation may have before its EOS; at least `min_len`, and at least one."""
    return max(int(config.max_len_ratio * source.num_subwords) + config.max_len_extra, config.min_len, 1)


def check_search_config(config: SearchConfig) -> None:
    """Report everything that is wrong with a search config at once.

    Raises:
        ConfigError: if there are problems; it lists all of them in one line.
    """
    beam, n_best, batch_rows = config.beam_size, config.n_best, config.batch_rows
    problems = list(setting_problems(config, prefix="search."))
    if n_best > max(beam, 1):
        problems.append(f"search.n_best must be at most search.beam_size ({beam}), but is {n_best}")
    if batch_rows < beam:
        problems.append(f"search.batch_rows must be at least search.beam_size ({beam}), but is {batch_rows}")
    needs_dictionary = config.replace_unk == ReplaceUnk.dictionary
    if needs_dictionary != (config.dictionary is not None):
        problems.append(
            "search.replace_unk=dictionary needs search.dictionary=FILE"
            if needs_dictionary
            else f"search.dictionary needs search.replace_unk=dictionary, but it is {config.replace_unk}"
        )
    elif config.dictionary is not None and not Path(config.dictionary).exists():
        problems.append(f"search.dictionary must be a file, but {config.dictionary} does not exist")
    if problems:
        raise ConfigError("; ".join(problems))
