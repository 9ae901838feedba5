"""Clauses: conjugation, negation, pronouns, agreement and word order."""

import pytest

from nmt.phrasebook.clauses import VerbGroup, clause
from nmt.phrasebook.lexicon import VERBS
from nmt.phrasebook.noun_phrases import PRONOUNS, Nominal, NounPhrase, name, with_relative_clause
from nmt.phrasebook.phrases import NOTHING, Phrase, elide_and_contract, sentence
from tests.test_phrasebook_noun_phrases import noun_phrase_of

PAUL, MARIE = name("Paul", feminine=False), name("Marie", feminine=True)


def said(
    subject: NounPhrase,
    group: VerbGroup,
    *,
    obj: Nominal | None = None,
    to: Nominal | None = None,
    rest: Phrase = NOTHING,
) -> tuple[str, str]:
    """Finish a clause as a sentence."""
    en, fr, _ = sentence(clause(subject, group, obj=obj, to=to, rest=rest))
    return en, fr


# --- Conjugation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "verb", "en", "fr"),
    [
        ("I", "eat", "I will eat.", "Je mangerai."),
        ("he", "buy", "He will buy.", "Il achètera."),
        ("we", "see", "We will see.", "Nous verrons."),
        ("you", "send", "You will send.", "Vous enverrez."),
        ("they", "go", "They will go.", "Ils iront."),
        ("she", "come back", "She will come back.", "Elle reviendra."),
        ("I", "have", "I will have.", "J'aurai."),
        ("he", "forget", "He will forget.", "Il oubliera."),
        ("we", "drink", "We will drink.", "Nous boirons."),
        ("they", "sell", "They will sell.", "Ils vendront."),
        ("she", "get up", "She will get up.", "Elle se lèvera."),
        ("they", "be", "They will be.", "Ils seront."),
    ],
)
def test_the_future_of_verbs(subject: str, verb: str, en: str, fr: str) -> None:
    assert said(PRONOUNS[subject].subject, VerbGroup(VERBS[verb], "future")) == (en, fr)


@pytest.mark.parametrize(
    ("subject", "verb", "en", "fr"),
    [
        ("I", "eat", "I ate.", "J'ai mangé."),
        ("he", "take", "He took.", "Il a pris."),
        ("she", "write", "She wrote.", "Elle a écrit."),
        ("we", "open", "We opened.", "Nous avons ouvert."),
        ("you", "wash", "You washed.", "Vous avez lavé."),
        ("they", "sleep", "They slept.", "Ils ont dormi."),
        ("he", "go", "He went.", "Il est allé."),
        ("she", "go", "She went.", "Elle est allée."),
        ("they", "leave", "They left.", "Ils sont partis."),
        ("they (f)", "stay", "They stayed.", "Elles sont restées."),
        ("we", "come back", "We came back.", "Nous sommes revenus."),
        ("you", "arrive", "You arrived.", "Vous êtes arrivé."),
        ("I", "get up", "I got up.", "Je me suis levé."),
        ("she", "wake up", "She woke up.", "Elle s'est réveillée."),
        ("they (f)", "go to bed", "They went to bed.", "Elles se sont couchées."),
    ],
)
def test_the_passe_compose_chooses_its_auxiliary_and_agrees(subject: str, verb: str, en: str, fr: str) -> None:
    assert said(PRONOUNS[subject].subject, VerbGroup(VERBS[verb], "past")) == (en, fr)


# --- Objects, negation, agreement, questions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "obj", "en", "fr"),
    [
        (VerbGroup(VERBS["eat"]), "a - apple -", "Paul eats an apple.", "Paul mange une pomme."),
        (
            VerbGroup(VERBS["eat"], negation="pas"),
            "a - apple -",
            "Paul does not eat an apple.",
            "Paul ne mange pas de pomme.",
        ),
        (
            VerbGroup(VERBS["open"], "past", negation="pas"),
            "the - door -",
            "Paul did not open the door.",
            "Paul n'a pas ouvert la porte.",
        ),
        (
            VerbGroup(VERBS["drink"], "past", negation="jamais"),
            "some - water -",
            "Paul never drank any water.",
            "Paul n'a jamais bu d'eau.",
        ),
        (
            VerbGroup(VERBS["buy"], negation="plus"),
            "some new hat+ -",
            "Paul no longer buys any new hats.",
            "Paul n'achète plus de nouveaux chapeaux.",
        ),
        (
            VerbGroup(VERBS["drink"], progressive=True),
            "some - water -",
            "Paul is drinking some water.",
            "Paul boit de l'eau.",
        ),
        (
            VerbGroup(VERBS["look for"], "future", frequency=("often", "souvent")),
            "his - key+ -",
            "Paul will often look for his keys.",
            "Paul cherchera souvent ses clés.",
        ),
        (
            VerbGroup(VERBS["wear"], "past", frequency=("always", "toujours")),
            "this - coat -",
            "Paul always wore this coat.",
            "Paul a toujours porté ce manteau.",
        ),
        (
            VerbGroup(VERBS["speak to"], "past"),
            "the - doctor -",
            "Paul spoke to the doctor.",
            "Paul a parlé au médecin.",
        ),
        (
            VerbGroup(VERBS["sell"], modal="want", negation="pas"),
            "the - car -",
            "Paul does not want to sell the car.",
            "Paul ne veut pas vendre la voiture.",
        ),
        (
            VerbGroup(VERBS["eat"], after_when=True, tense="future"),
            "the - cake -",
            "Paul eats the cake.",
            "Paul mangera le gâteau.",
        ),
    ],
)
def test_clauses_with_an_object(group: VerbGroup, obj: str, en: str, fr: str) -> None:
    assert said(PAUL, group, obj=noun_phrase_of(obj)) == (en, fr)


@pytest.mark.parametrize(
    ("group", "en", "fr"),
    [
        (VerbGroup(VERBS["eat"], negation="rien"), "Marie does not eat anything.", "Marie ne mange rien."),
        (VerbGroup(VERBS["buy"], "past", negation="rien"), "Marie did not buy anything.", "Marie n'a rien acheté."),
        (VerbGroup(VERBS["sleep"], negation="plus"), "Marie no longer sleeps.", "Marie ne dort plus."),
        (VerbGroup(VERBS["leave"], "past", negation="pas"), "Marie did not leave.", "Marie n'est pas partie."),
        (VerbGroup(VERBS["get up"], "past", negation="jamais"), "Marie never got up.", "Marie ne s'est jamais levée."),
        (VerbGroup(VERBS["get up"], modal="must"), "Marie must get up.", "Marie doit se lever."),
    ],
)
def test_negations_are_placed_correctly(group: VerbGroup, en: str, fr: str) -> None:
    assert said(MARIE, group) == (en, fr)


@pytest.mark.parametrize(
    ("group", "obj", "to", "en", "fr"),
    [
        (VerbGroup(VERBS["see"]), "he", None, "Paul sees him.", "Paul le voit."),
        (VerbGroup(VERBS["help"], negation="pas"), "I", None, "Paul does not help me.", "Paul ne m'aide pas."),
        (VerbGroup(VERBS["invite"], "past"), "she", None, "Paul invited her.", "Paul l'a invitée."),
        (VerbGroup(VERBS["invite"], "past"), "we", None, "Paul invited us.", "Paul nous a invités."),
        (VerbGroup(VERBS["take"], "past"), "they", None, "Paul took them.", "Paul les a pris."),
        (VerbGroup(VERBS["take"], "past"), "they (f)", None, "Paul took them.", "Paul les a prises."),
        (
            VerbGroup(VERBS["see"], "past", negation="pas"),
            "she",
            None,
            "Paul did not see her.",
            "Paul ne l'a pas vue.",
        ),
        (VerbGroup(VERBS["meet"], modal="want"), "you", None, "Paul wants to meet you.", "Paul veut vous rencontrer."),
        (VerbGroup(VERBS["speak to"], "past"), "she", None, "Paul spoke to her.", "Paul lui a parlé."),
        (VerbGroup(VERBS["speak to"], "future"), "they", None, "Paul will speak to them.", "Paul leur parlera."),
        (VerbGroup(VERBS["give"], "past"), "it (f)", "he", "Paul gave it to him.", "Paul la lui a donnée."),
        (VerbGroup(VERBS["show"]), "they", "I", "Paul shows them to me.", "Paul me les montre."),
        (
            VerbGroup(VERBS["send"], "future", negation="plus"),
            "it (m)",
            "they",
            "Paul will no longer send it to them.",
            "Paul ne le leur enverra plus.",
        ),
    ],
)
def test_object_pronouns_precede_the_verb(group: VerbGroup, obj: str, to: str | None, en: str, fr: str) -> None:
    assert said(PAUL, group, obj=PRONOUNS[obj], to=PRONOUNS[to] if to else None) == (en, fr)


def test_recipients_follow_unless_they_are_pronouns() -> None:
    give = VerbGroup(VERBS["give"])
    book = noun_phrase_of("the - book -")
    assert said(PAUL, give, obj=book, to=MARIE) == ("Paul gives the book to Marie.", "Paul donne le livre à Marie.")
    assert said(PAUL, give, obj=book, to=PRONOUNS["she"]) == ("Paul gives her the book.", "Paul lui donne le livre.")


def test_a_subject_relative_agrees_with_its_head() -> None:
    women = noun_phrase_of("the - woman+ -")
    who = NounPhrase("who", "qui", women.person, women.agreement)
    np = with_relative_clause(women, clause(who, VerbGroup(VERBS["arrive"], "past")))
    assert said(np, VerbGroup(VERBS["sleep"], progressive=True)) == (
        "The women who arrived are sleeping.",
        "Les femmes qui sont arrivées dorment.",
    )


@pytest.mark.parametrize(
    ("noun", "verb", "en", "fr"),
    [
        ("letter", "write", "The letter that I wrote", "La lettre que j'ai écrite"),
        ("book", "buy", "The book that I bought", "Le livre que j'ai acheté"),
        ("key+", "lose", "The keys that I lost", "Les clés que j'ai perdues"),
        ("coat+", "take", "The coats that I took", "Les manteaux que j'ai pris"),
        ("dress", "look for", "The dress that I looked for", "La robe que j'ai cherchée"),
    ],
)
def test_a_participle_agrees_with_the_object_before_it(noun: str, verb: str, en: str, fr: str) -> None:
    head = noun_phrase_of(f"the - {noun} -")
    inner = clause(PRONOUNS["I"].subject, VerbGroup(VERBS[verb], "past"), fronted=head)
    np = with_relative_clause(head, Phrase(f"that {inner.en}", f"que {inner.fr}", inner.bits))
    assert (np.en.capitalize().replace(" i ", " I "), elide_and_contract(np.fr).fr.capitalize()) == (en, fr)


@pytest.mark.parametrize(
    ("group", "obj", "en"),
    [
        (VerbGroup(VERBS["eat"]), "some - apple+ -", "Does Paul eat any apples?"),
        (VerbGroup(VERBS["eat"], "past"), "the - cake -", "Did Paul eat the cake?"),
        (VerbGroup(VERBS["read"], progressive=True), "a - book -", "Is Paul reading a book?"),
        (VerbGroup(VERBS["buy"], "future"), "the - car -", "Will Paul buy the car?"),
        (VerbGroup(VERBS["open"], modal="can"), "the - door -", "Can Paul open the door?"),
        (VerbGroup(VERBS["open"], modal="want"), "the - door -", "Does Paul want to open the door?"),
    ],
)
def test_english_questions_are_inverted(group: VerbGroup, obj: str, en: str) -> None:
    assert sentence(clause(PAUL, group, obj=noun_phrase_of(obj), inverted=True), "?").en == en


def test_only_french_has_a_space_before_a_question_mark() -> None:
    asked = clause(name("Anne", feminine=True), VerbGroup(VERBS["sleep"], progressive=True), inverted=True)
    assert sentence(asked._replace(fr=f"est-ce que {asked.fr}"), "?")[:2] == (
        "Is Anne sleeping?",
        "Est-ce qu'Anne dort ?",
    )
