"""nmt: sequence-to-sequence translation with stacked LSTMs (Sutskever, Vinyals & Le 2014)."""

__version__ = "0.1.0"
