"""The grammar of the built-in corpus: forms of French and English, written here by hand."""

import pytest

from nmt.text.phrasebook_clauses import VerbGroup, clause
from nmt.text.phrasebook_grammar import (
    NOTHING,
    PRONOUNS,
    NounPhrase,
    Phrase,
    Pronoun,
    counted,
    described,
    name,
    noun_phrase,
    owned,
    paired,
    sentence,
    spoken,
)
from nmt.text.phrasebook_lexicon import ADJECTIVES, COUNTED_NOUNS, NOUNS, VERBS
from nmt.text.phrasebook_numerals import date, en_number, en_ordinal, fr_number, time_of_day

PAUL, MARIE = name("Paul", feminine=False), name("Marie", feminine=True)


def said(
    subject: NounPhrase,
    group: VerbGroup,
    *,
    obj: NounPhrase | Pronoun | None = None,
    to: NounPhrase | Pronoun | None = None,
    rest: Phrase = NOTHING,
) -> tuple[str, str]:
    """Finish a clause as a sentence."""
    en, fr, _ = sentence(clause(subject, group, obj=obj, to=to, rest=rest))
    return en, fr


# --- Numbers, dates, times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "en", "fr"),
    [
        (2, "two", "deux"),
        (16, "sixteen", "seize"),
        (17, "seventeen", "dix-sept"),
        (21, "twenty-one", "vingt et un"),
        (22, "twenty-two", "vingt-deux"),
        (60, "sixty", "soixante"),
        (61, "sixty-one", "soixante et un"),
        (70, "seventy", "soixante-dix"),
        (71, "seventy-one", "soixante et onze"),
        (77, "seventy-seven", "soixante-dix-sept"),
        (80, "eighty", "quatre-vingts"),
        (81, "eighty-one", "quatre-vingt-un"),
        (90, "ninety", "quatre-vingt-dix"),
        (91, "ninety-one", "quatre-vingt-onze"),
        (99, "ninety-nine", "quatre-vingt-dix-neuf"),
        (100, "one hundred", "cent"),
        (101, "one hundred and one", "cent un"),
        (180, "one hundred and eighty", "cent quatre-vingts"),
        (200, "two hundred", "deux cents"),
        (201, "two hundred and one", "deux cent un"),
        (1000, "one thousand", "mille"),
        (1001, "one thousand and one", "mille un"),
        (1100, "one thousand one hundred", "mille cent"),
        (2000, "two thousand", "deux mille"),
        (21_000, "twenty-one thousand", "vingt et un mille"),
        (80_000, "eighty thousand", "quatre-vingt mille"),
        (80_080, "eighty thousand and eighty", "quatre-vingt mille quatre-vingts"),
        (200_200, "two hundred thousand two hundred", "deux cent mille deux cents"),
        (
            999_999,
            "nine hundred and ninety-nine thousand nine hundred and ninety-nine",
            "neuf cent quatre-vingt-dix-neuf mille neuf cent quatre-vingt-dix-neuf",
        ),
    ],
)
def test_numbers_are_spelled_out(number: int, en: str, fr: str) -> None:
    assert (en_number(number), fr_number(number)) == (en, fr)


@pytest.mark.parametrize(
    ("number", "fr"),
    [(21, "vingt et une"), (71, "soixante et onze"), (81, "quatre-vingt-une"), (301, "trois cent une")],
)
def test_one_agrees_with_a_feminine_noun(number: int, fr: str) -> None:
    assert fr_number(number, feminine=True) == fr


@pytest.mark.parametrize(
    ("number", "ordinal"),
    [(1, "first"), (3, "third"), (4, "fourth"), (12, "twelfth"), (20, "twentieth"), (22, "twenty-second")],
)
def test_english_days_are_ordinals(number: int, ordinal: str) -> None:
    assert en_ordinal(number) == ordinal


@pytest.mark.parametrize(
    ("day", "month", "weekday", "en", "fr"),
    [
        (1, "May", "", "on the first of May", "le premier mai"),
        (2, "May", "", "on the second of May", "le deux mai"),
        (11, "August", "", "on the eleventh of August", "le onze août"),
        (21, "December", "", "on the twenty-first of December", "le vingt et un décembre"),
        (8, "February", "Monday", "on Monday the eighth of February", "le lundi huit février"),
    ],
)
def test_dates(day: int, month: str, weekday: str, en: str, fr: str) -> None:
    assert date(day, month, weekday) == (en, fr)
    assert spoken(fr).fr == fr  # neither "l'onze" nor "l'huit"


@pytest.mark.parametrize(
    ("hour", "minutes", "day_part", "en", "fr"),
    [
        (0, 0, "", "at midnight", "à minuit"),
        (12, 0, "", "at noon", "à midi"),
        (1, 0, "", "at one o'clock", "à une heure"),
        (3, 30, "", "at half past three", "à trois heures et demie"),
        (3, 45, "", "at a quarter to four", "à quatre heures moins le quart"),
        (4, 15, "", "at a quarter past four", "à quatre heures et quart"),
        (5, 10, "", "at ten past five", "à cinq heures dix"),
        (8, 40, "", "at twenty to nine", "à neuf heures moins vingt"),
        (11, 0, "morning", "at eleven o'clock in the morning", "à onze heures du matin"),
        (2, 0, "afternoon", "at two o'clock in the afternoon", "à deux heures de l'après-midi"),
    ],
)
def test_times_of_day(hour: int, minutes: int, day_part: str, en: str, fr: str) -> None:
    en_time, fr_time = time_of_day(hour, minutes, day_part)
    assert (en_time, spoken(fr_time).fr) == (en, fr)


# --- Conjugation ------------------------------------------------------------------------------------------------------

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


# --- Noun phrases -----------------------------------------------------------------------------------------------------


def _np(text: str) -> NounPhrase:
    """Read "determiner before noun after", with "-" for nothing; the noun ends in "+" if plural."""
    determiner, before, noun, after = text.split()
    return noun_phrase(
        NOUNS[noun.rstrip("+")],
        "" if determiner == "-" else determiner,  # type: ignore[arg-type]
        plural=noun.endswith("+"),
        before=None if before == "-" else ADJECTIVES[before],
        after=None if after == "-" else ADJECTIVES[after],
    )


@pytest.mark.parametrize(
    ("text", "en", "fr"),
    [
        ("the - man -", "the man", "l'homme"),
        ("the - hotel+ -", "the hotels", "les hôtels"),
        ("a small car red", "a small red car", "une petite voiture rouge"),
        ("an_old - hotel -", "an old hotel", "un vieil hôtel"),
        ("the beautiful hotel -", "the beautiful hotel", "le bel hôtel"),
        ("the beautiful hotel+ -", "the beautiful hotels", "les beaux hôtels"),
        ("this new hotel -", "this new hotel", "ce nouvel hôtel"),
        ("this - hotel white", "this white hotel", "cet hôtel blanc"),
        ("this - flower -", "this flower", "cette fleur"),
        ("this old house+ -", "these old houses", "ces vieilles maisons"),
        ("the - dress white", "the white dress", "la robe blanche"),
        ("the - dress+ black", "the black dresses", "les robes noires"),
        ("the - child tired", "the tired child", "l'enfant fatigué"),
        ("the - girl+ happy", "the happy girls", "les filles heureuses"),
        ("the - boy+ happy", "the happy boys", "les garçons heureux"),
        ("my - school -", "my school", "mon école"),
        ("her - dog -", "her dog", "son chien"),
        ("his - car -", "his car", "sa voiture"),
        ("their - key+ -", "their keys", "leurs clés"),
        ("some - water -", "some water", "de l'eau"),
        ("some - bread -", "some bread", "du pain"),
        ("some - meat -", "some meat", "de la viande"),
        ("some - apple+ -", "some apples", "des pommes"),
        ("some good apple+ -", "some good apples", "de bonnes pommes"),
        ("some - dog+ black", "some black dogs", "des chiens noirs"),
        ("the - horse+ -", "the horses", "les chevaux"),
        ("our - coat+ -", "our coats", "nos manteaux"),
        ("his - newspaper+ -", "his newspapers", "ses journaux"),
        ("which - flower+ -", "which flowers", "quelles fleurs"),
        ("- - coffee -", "coffee", "le café"),
    ],
)
def test_noun_phrases_agree(text: str, en: str, fr: str) -> None:
    np = _np("a old hotel -" if text.startswith("an_old") else text)
    assert (np.en, spoken(np.fr).fr) == (en, fr)


def test_owners_and_pairs() -> None:
    girls, doctor, sister = _np("the - girl+ -"), _np("the - doctor -"), NOUNS["sister"]
    phrases = [
        (owned(NOUNS["dog"], girls), "the girls' dog", "le chien des filles"),
        (owned(NOUNS["house"], doctor), "the doctor's house", "la maison du médecin"),
        (owned(sister, name("Alice", feminine=True), plural=True), "Alice's sisters", "les sœurs d'Alice"),
        (paired(PAUL, MARIE), "Paul and Marie", "Paul et Marie"),
        (counted(NOUNS["letter"], 21), "twenty-one letters", "vingt et une lettres"),
        (counted(COUNTED_NOUNS["inhabitant"], 80), "eighty inhabitants", "quatre-vingts habitants"),
    ]
    for np, en, fr in phrases:
        assert (np.en, spoken(np.fr).fr) == (en, fr)


@pytest.mark.parametrize(
    ("full", "fr"),
    [
        ("je ai", "j'ai"),
        ("parce que elle habite", "parce qu'elle habite"),
        ("à le marché", "au marché"),
        ("à les enfants", "aux enfants"),
        ("de le roi", "du roi"),
        ("de les rois", "des rois"),
        ("de le hôtel", "de l'hôtel"),
        ("à la école", "à l'école"),
        ("si il vient", "s'il vient"),
        ("si elle vient", "si elle vient"),
        ("que onze enfants", "que onze enfants"),
        ("de huit livres", "de huit livres"),
        ("le onze mai", "le onze mai"),
        ("qui est-ce que Anne", "qui est-ce qu'Anne"),
    ],
)
def test_elision_and_contraction(full: str, fr: str) -> None:
    assert spoken(full).fr == fr


# --- Clauses ----------------------------------------------------------------------------------------------------------


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
    assert said(PAUL, group, obj=_np(obj)) == (en, fr)


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
def test_negations_find_their_place(group: VerbGroup, en: str, fr: str) -> None:
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
def test_object_pronouns_stand_before_the_verb(group: VerbGroup, obj: str, to: str | None, en: str, fr: str) -> None:
    assert said(PAUL, group, obj=PRONOUNS[obj], to=PRONOUNS[to] if to else None) == (en, fr)


def test_recipients_follow_unless_they_are_pronouns() -> None:
    give = VerbGroup(VERBS["give"])
    book = _np("the - book -")
    assert said(PAUL, give, obj=book, to=MARIE) == ("Paul gives the book to Marie.", "Paul donne le livre à Marie.")
    assert said(PAUL, give, obj=book, to=PRONOUNS["she"]) == ("Paul gives her the book.", "Paul lui donne le livre.")


def test_a_subject_relative_agrees_with_its_head() -> None:
    women = _np("the - woman+ -")
    who = NounPhrase("who", "qui", women.column, women.agreement)
    np = described(women, clause(who, VerbGroup(VERBS["arrive"], "past")))
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
    head = _np(f"the - {noun} -")
    inner = clause(PRONOUNS["I"].subject, VerbGroup(VERBS[verb], "past"), gap=head)
    np = described(head, Phrase(f"that {inner.en}", f"que {inner.fr}", inner.bits))
    assert (np.en.capitalize().replace(" i ", " I "), spoken(np.fr).fr.capitalize()) == (en, fr)


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
    assert sentence(clause(PAUL, group, obj=_np(obj), inverted=True), "?").en == en


def test_a_question_mark_has_a_space_before_it_in_french_alone() -> None:
    asked = clause(name("Anne", feminine=True), VerbGroup(VERBS["sleep"], progressive=True), inverted=True)
    assert sentence(asked._replace(fr=f"est-ce que {asked.fr}"), "?")[:2] == (
        "Is Anne sleeping?",
        "Est-ce qu'Anne dort ?",
    )
