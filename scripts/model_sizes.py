"""Print the number of parameters of each model in conf/model, or of those that are named."""

import argparse
import sys

import torch

from nmt.conf_files import conf_dir, group_options
from nmt.model.seq2seq import Seq2Seq
from nmt.plain import read_yaml
from nmt.saved_config import model_config


def num_parameters(preset: str, *, src_vocab_size: int, tgt_vocab_size: int) -> int:
    """Count the parameters of a model in conf/model, of which tied ones count once."""
    config = model_config(read_yaml(conf_dir() / "model" / f"{preset}.yaml"))
    with torch.device("meta"):  # no memory
        model = Seq2Seq(config, src_vocab_size=src_vocab_size, tgt_vocab_size=tgt_vocab_size)
    return model.num_parameters()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="such as lstm_2x512; default: all")
    parser.add_argument("--src", type=int, default=8000, help="number of source subwords (default: %(default)s)")
    parser.add_argument("--tgt", type=int, default=8000, help="number of target subwords (default: %(default)s)")
    options = parser.parse_args()
    for preset in options.models or group_options("model"):
        count = num_parameters(preset, src_vocab_size=options.src, tgt_vocab_size=options.tgt)
        sys.stdout.write(f"{preset:22} {count:13,}\n")


if __name__ == "__main__":
    main()
