"""nmt: sequence-to-sequence translation with recurrent networks (Sutskever, Vinyals & Le 2014).

    from nmt import Translator

    translator = Translator.load("runs/first/checkpoints/best", beam_size=5)
    translator("A dog runs.")

Names are imported on first use: `import nmt` by itself loads neither torch nor sacreBLEU.

    Translator          translates strings, lists and iterables, with a checkpoint or an ensemble
    load_checkpoint     the model, the subword models and the configuration of a checkpoint
    score_corpus        BLEU, chrF, TER, exact match and edit rates, with signatures
    NmtError            base class of all errors that a user can fix
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmt.errors import NmtError
    from nmt.evaluation.metrics import score_corpus
    from nmt.search.loading import load_checkpoint
    from nmt.search.translator import Translator

__all__ = ["NmtError", "Translator", "load_checkpoint", "score_corpus"]
__version__ = "0.1.0"

_MODULES = {
    "NmtError": "nmt.errors",
    "Translator": "nmt.search.translator",
    "load_checkpoint": "nmt.search.loading",
    "score_corpus": "nmt.evaluation.metrics",
}

if not TYPE_CHECKING:  # a type checker would accept every name as part of this module

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULES})
