from __future__ import annotations

from nmt.commands.compose import compose_settings


def test_prepare_takes_the_settings_of_train() -> None:
    train = compose_settings("train", ["experiment=sutskever_2014"])
    assert compose_settings("prepare", ["experiment=sutskever_2014"]) == train
