"""The built-in corpus: English and French sentences drawn from a seeded grammar of our own, so that nothing is downloaded.

It is true French of some difficulty: words change their order, agree, elide and contract. The English determines the
French: no coin is tossed that the source does not show, so a perfect translation exists and BLEU 100 can be reached.
Each pair names the phenomena that it exhibits, for scores by phenomenon.
"""

import random
import zlib
from bisect import bisect
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

from nmt.errors import DataError
from nmt.text.phrasebook_grammar import PHENOMENA, Phrase
from nmt.text.phrasebook_scenes import Scenes

__all__ = ["GENERATOR_VERSION", "PHENOMENA", "PhrasePair", "Split", "generate"]
