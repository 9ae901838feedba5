"""The forms of words that are derived from the tables of the lexicon."""

import pytest

from nmt.phrasebook.lexicon import VERBS

PRESENTS = {  # je, il, nous, vous, ils
    "eat": "mange mange mangeons mangez mangent",
    "buy": "achète achète achetons achetez achètent",
    "drink": "bois boit buvons buvez boivent",
    "write": "écris écrit écrivons écrivez écrivent",
    "see": "vois voit voyons voyez voient",
    "take": "prends prend prenons prenez prennent",
    "choose": "choisis choisit choisissons choisissez choisissent",
    "open": "ouvre ouvre ouvrons ouvrez ouvrent",
    "come back": "reviens revient revenons revenez reviennent",
    "wait for": "attends attend attendons attendez attendent",
    "send": "envoie envoie envoyons envoyez envoient",
    "sleep": "dors dort dormons dormez dorment",
    "have": "ai a avons avez ont",
    "be": "suis est sommes êtes sont",
    "go": "vais va allons allez vont",
    "say": "dis dit disons dites disent",
    "want": "veux veut voulons voulez veulent",
    "can": "peux peut pouvons pouvez peuvent",
    "must": "dois doit devons devez doivent",
    "know that": "sais sait savons savez savent",
}


@pytest.mark.parametrize(("verb", "forms"), PRESENTS.items())
def test_the_present_of_verbs(verb: str, forms: str) -> None:
    assert " ".join(VERBS[verb].present) == forms
