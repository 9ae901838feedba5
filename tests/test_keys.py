from __future__ import annotations

import pytest

from nmt.commands.keys import nearest_keys, unknown_key


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("lr", ["optimizer.lr"]),  # in another group
        ("model.hiden_dim", ["model.hidden_dim"]),  # a letter is missing
        ("modle.hidden_dim", ["model.hidden_dim"]),
        ("mdoel", ["model"]),
        ("experimnt", ["experiment"]),
        ("model@foo", ["model"]),
        ("training.max_epoch", ["training.max_epochs"]),
        ("data.train.src.0", ["data.train.src"]),
        (  # one word in common: all of them, since none is nearer
            "training.save_every",
            ["training.log_every", "training.validate_every", "training.bleu_every", "training.checkpoint_every"],
        ),
        ("checkpoint", ["training.checkpoint_every"]),
        ("xyzzy", []),
        ("training.my_very_own_every", []),  # less than half of its words
        ("name", ["data.name", "model.name"]),
    ],
)
def test_the_nearest_keys_are_suggested(key: str, nearest: list[str]) -> None:
    assert nearest_keys("train", key) == nearest


def test_too_many_candidates_give_no_suggestion() -> None:
    assert nearest_keys("train", "max") == []  # of data, training and search


def test_an_unknown_key_comes_with_advice() -> None:
    assert unknown_key("train", "name") == (
        "there is no setting 'name' for nmt train: did you mean data.name or model.name?"
    )
    assert unknown_key("train", "xyzzy") == "there is no setting 'xyzzy' for nmt train (--help shows all)"
    assert (
        unknown_key("train", "hydra.x") == "there is no setting 'hydra.x' for nmt train (--cfg hydra shows Hydra's own)"
    )
