"""Random text with realistic lengths: it costs the same as real text of these lengths, but teaches nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.contenders import Contender
from benchmarks.processes import resolved_config

# The mean of source lengths, the ratio of the target's to it, and the deviations of their logarithms, as in Multi30k
# English-German in 8,000 joint subwords.
MEAN_LENGTH, TGT_PER_SRC, SRC_LOG_DEVIATION, RATIO_LOG_DEVIATION = 14.3, 14.8 / 14.3, 0.32, 0.18
MAX_LEN = 90
NUM_DEV = 64
VOCAB_SIZE = "subword.vocab_size=8000"
VOCABULARY_LINE = 40  # words of a line of those that make every word occur


@dataclass(frozen=True)
class RandomText:
    """Aligned files in a folder, and the settings that make nmt read them."""

    folder: Path
    num_pairs: int
    mean_length: float = MEAN_LENGTH
    seed: int = 1

    def settings(self, contender: Contender) -> list[str]:
        """Write the text for a contender's sizes of vocabularies, unless it exists; return the settings for it."""
        files = [f"data.{split}.{side}=[{split}.{side}]" for split in ("train", "dev") for side in ("src", "tgt")]
        words = ["data=files", "data.src_lang=en", "data.tgt_lang=fr", *files, "subword=word", VOCAB_SIZE]
        subword = resolved_config(contender.checkout, ["train", *words, *contender.settings])["subword"]
        sizes = (subword["src_vocab_size"], subword["tgt_vocab_size"])
        folder = self.folder / f"{'-'.join(contender.checkout.parts[1:])}-{sizes[0]}-{sizes[1]}"
        if not folder.exists():
            folder.mkdir(parents=True)
            for split, num_pairs in (("train", self.num_pairs), ("dev", NUM_DEV), ("test", self.num_pairs)):
                self._write(folder, split, num_pairs, sizes)
        return [*words, f"data.dir={folder}", f"data.prepared_dir={folder / 'prepared'}"]

    def _write(self, folder: Path, split: str, num_pairs: int, sizes: tuple[int, int]) -> None:
        rng = np.random.Generator(np.random.PCG64([self.seed, len(split)]))
        lengths_of_sides = random_lengths(num_pairs, self.mean_length, rng)
        for side, lengths, size in zip(("src", "tgt"), lengths_of_sides, sizes, strict=True):
            lines = vocabulary_lines(size, max(sizes)) if split == "train" else []
            lines += random_lines(lengths, size, rng)
            Path(folder, f"{split}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def random_lengths(num_pairs: int, mean: float, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Choose lengths of pairs, sources of `mean` words: theirs and the ratio of the target to them are log-normal."""
    # the mean of a log-normal distribution is exp(mu + sigma² / 2)
    src_mu = np.log(mean) - SRC_LOG_DEVIATION**2 / 2
    ratio_mu = np.log(TGT_PER_SRC) - RATIO_LOG_DEVIATION**2 / 2
    log_src = rng.normal(src_mu, SRC_LOG_DEVIATION, num_pairs)
    log_tgt = log_src + rng.normal(ratio_mu, RATIO_LOG_DEVIATION, num_pairs)
    src, tgt = (np.exp(log_len).round().clip(1, MAX_LEN).astype(int).tolist() for log_len in (log_src, log_tgt))
    return src, tgt


def random_lines(lengths: list[int], vocab_size: int, rng: np.random.Generator) -> list[str]:
    """Choose words by Zipf's law: the n-th word occurs about 1/n times as often as the first."""
    ranks = (vocab_size ** rng.random(sum(lengths))).astype(int)  # log-uniform from 1
    words = iter(ranks.tolist())
    return [" ".join(f"w{next(words)}" for _ in range(length)) for length in lengths]


def vocabulary_lines(vocab_size: int, num_words: int) -> list[str]:
    """Write every word of a vocabulary once, or more often if the other side has more."""
    words = [f"w{1 + number % vocab_size}" for number in range(num_words)]
    return [" ".join(words[begin : begin + VOCABULARY_LINE]) for begin in range(0, num_words, VOCABULARY_LINE)]
