"""Words in English and French, with every form that the grammar needs.

A word is here only if its English form determines the French one: "friend" is missing, because it could be "ami" or
"amie". The tables are lines of text; regular forms are derived, irregular ones follow a slash or have a column.
"""

from typing import Literal, NamedTuple

Agreement = Literal["m", "f", "mp", "fp"]  # masculine, feminine, and their plurals
# Grammatical persons, which index conjugations: je, il/elle, nous, vous, ils/elles. "You" is always the polite "vous"
# to one man, so there is no "tu".
FIRST, THIRD, FIRST_PLURAL, SECOND, THIRD_PLURAL = range(5)


class Noun(NamedTuple):
    """A noun.

    Attributes:
        adjectives: groups of adjectives that suit it, one letter each (see the table of adjectives).
        traits: what it is or can be used for, such as "person", "place" or "readable" (see the table of verbs).
    """

    en: str
    en_plural: str
    fr: str
    fr_plural: str
    feminine: bool
    adjectives: str
    traits: tuple[str, ...]


class Adjective(NamedTuple):
    """An adjective.

    Attributes:
        before_vowel: the masculine form before a vowel: "bel" in "un bel hôtel".
        before: in French it precedes its noun.
        attributive: the group that nouns name to have it beside them: "the old house".
        predicative: the group that nouns name to have it after "to be": "the house is old"; "-" for none.
    """

    en: str
    forms: dict[Agreement, str]
    before_vowel: str
    before: bool
    attributive: str
    predicative: str


class Verb(NamedTuple):
    """A verb.

    Attributes:
        particle: "for" in "look for".
        present: the five forms for je, il, nous, vous, ils.
        flags: see the table of verbs.
        objects: traits that a noun needs, one of them at least, to be its object.
    """

    en: str
    en_third: str
    en_past: str
    en_ing: str
    particle: str
    fr: str
    present: tuple[str, ...]
    participle: str
    future_stem: str
    flags: frozenset[str]
    objects: tuple[str, ...]


def begins_with_vowel(fr: str) -> bool:
    """Return whether the word before is elided: every h but that of "huit" is mute; "onze" is an exception."""
    return fr[0] in "aeiouàâéèêîôûœhAEIOUÉ" and not fr.startswith(("huit", "onze"))


# english[/plural] french[/plural] gender adjectives traits
_NOUN_TABLE = """
man/men homme m oyk person
woman/women femme f oykb person
boy garçon m ks person
girl fille f ksb person
child/children enfant m ks person
doctor médecin m oyk person
brother frère m yk kin several
sister sœur f yk kin several
father père m ok kin
mother mère f ok kin
dog chien m soca animal pet
cat chat m soca animal pet
horse cheval m soca animal pet
apple pomme f sgc food
cake gâteau m sg food
bread pain m g mass-food
meat viande f g mass-food
water eau f - mass-drink
coffee café m g mass-drink
book livre m sonbg readable portable goods gift
letter lettre f sob readable writable gift
newspaper/newspapers journal m on readable goods
song chanson f obg sung
car voiture f sonbc goods washable owned
key clé f sonc portable
door porte f soc openable
window fenêtre f so openable
coat manteau m onbc clothes goods washable portable
hat chapeau m onbc clothes goods portable
dress robe f onbc clothes goods washable
flower fleur f sbc goods gift
question question f g asked
school école f sonb place at
market marché m so place at
station gare f sonb place at
hotel hôtel m sonb place at
beach plage f sb place at
park parc m sb place in
garden jardin m sb place in
house maison f sonb place in
"""

# english french[/feminine] position group-beside-a-noun group-after-"to be"
_ADJECTIVE_TABLE = """
small petit before s s
big grand before s s
old vieux/vieille before o o
young jeune before y o
new nouveau/nouvelle before n -
beautiful beau/belle before b b
good bon/bonne before g g
red rouge after c c
white blanc/blanche after ca ca
black noir after ca ca
happy heureux/heureuse after k k
tired fatigué after k k
sick malade after k k
"""

# english past | infinitive | present | participle | future stem | flags | traits of objects
# Present: je, il, the stem of the plural (and ils, if its stem differs); all five forms; none for a regular -er verb.
# Flags:
#   state      has no progressive form in English ("is seeing")
#   animal     animals do it too
#   no-past    its passé composé would mean something else
#   etre       forms the passé composé with "être"
#   reflexive  is reflexive in French, and so takes "être" too
#   dative     its English object is "à …" in French
_VERB_TABLE = """
eat ate | manger | | | | animal | food mass-food
drink drank | boire | bois boit buv boivent | bu | boir | animal | mass-drink
read read | lire | lis lit lis | lu | lir | | readable
write wrote | écrire | écris écrit écriv | écrit | écrir | | writable
buy bought | acheter | achète achète achet achètent | acheté | achèter | | goods food
sell sold | vendre | vends vend vend | vendu | vendr | | goods
see saw | voir | vois voit voy voient | vu | verr | state animal | person kin animal
find found | trouver | | | | state | portable pet
lose lost | perdre | perds perd perd | perdu | perdr | state | portable
take took | prendre | prends prend pren prennent | pris | prendr | | portable
look-for looked | chercher | | | | animal | portable person kin
wait-for waited | attendre | attends attend attend | attendu | attendr | | person kin
open opened | ouvrir | ouvre ouvre ouvr | ouvert | ouvrir | | openable
close closed | fermer | | | | | openable
wash washed | laver | | | | | washable
choose chose | choisir | choisis choisit choisiss | choisi | choisir | | clothes
meet met | rencontrer | | | | | person kin
help helped | aider | | | | | person kin
invite invited | inviter | | | | | person kin
forget forgot | oublier | | | | state | portable
understand understood | comprendre | comprends comprend compren comprennent | compris | comprendr | state | asked
wear wore | porter | | | | | clothes
sing sang | chanter | | | | | sung
have had | avoir | ai a av ont | eu | aur | state no-past | owned pet
give gave | donner | | | | | gift
show showed | montrer | | | | | gift
send sent | envoyer | envoie envoie envoy envoient | envoyé | enverr | | gift
speak-to spoke | parler | | | | dative | person kin
work worked | travailler | | | | |
sleep slept | dormir | dors dort dorm | dormi | dormir | animal |
dance danced | danser | | | | |
play played | jouer | | | | animal |
live lived | habiter | | | | state no-past |
go went | aller | vais va all vont | allé | ir | etre |
come-back came | revenir | reviens revient reven reviennent | revenu | reviendr | etre animal |
arrive arrived | arriver | | | | etre |
leave left | partir | pars part part | parti | partir | etre |
stay stayed | rester | | | | etre animal |
get-up got | lever | lève lève lev lèvent | levé | lèver | reflexive |
go-to-bed went | coucher | | | | reflexive |
wake-up woke | réveiller | | | | reflexive animal |
say said | dire | dis dit disons dites disent | dit | dir | state |
think thought | penser | | | | state |
hope hoped | espérer | espère espère espér espèrent | espéré | espérer | state |
know-that knew | savoir | sais sait sav | su | saur | state |
cost cost | coûter | | | | state no-past |
be was | être | suis est sommes êtes sont | été | ser | state |
want wanted | vouloir | veux veut voul veulent | voulu | voudr | state |
can could | pouvoir | peux peut pouv peuvent | pu | pourr | state |
must had | devoir | dois doit dev doivent | dû | devr | state |
"""


def _en_plural(en: str) -> str:
    if en.endswith(("s", "sh", "ch", "x")):
        return en + "es"
    return en + "s"


def _fr_plural(fr: str) -> str:
    if fr.endswith(("s", "x")):
        return fr
    if fr.endswith("al"):
        return fr[:-2] + "aux"
    return fr + ("x" if fr.endswith("eau") else "s")


def _read_nouns() -> dict[str, Noun]:
    nouns = {}
    for line in _NOUN_TABLE.strip().splitlines():
        english, fr, gender, adjectives, *traits = line.split()
        en, _, en_plural = english.partition("/")
        nouns[en] = Noun(en, en_plural or _en_plural(en), fr, _fr_plural(fr), gender == "f", adjectives, tuple(traits))
    return nouns


def _read_adjectives() -> dict[str, Adjective]:
    adjectives = {}
    for line in _ADJECTIVE_TABLE.strip().splitlines():
        en, french, position, attributive, predicative = line.split()
        masculine, _, feminine = french.partition("/")
        feminine = feminine or (masculine if masculine.endswith("e") else masculine + "e")
        forms: dict[Agreement, str] = {
            "m": masculine,
            "f": feminine,
            "mp": _fr_plural(masculine),
            "fp": feminine + "s",
        }
        before_vowel = {"vieux": "vieil", "nouveau": "nouvel", "beau": "bel"}.get(masculine, masculine)
        adjectives[en] = Adjective(en, forms, before_vowel, position == "before", attributive, predicative)
    return adjectives


def _en_third(en: str) -> str:
    if en == "have":
        return "has"
    if en.endswith("ry"):
        return en[:-1] + "ies"
    return en + ("es" if en.endswith(("sh", "ch", "go")) else "s")


def _en_ing(en: str) -> str:
    if en in ("forget", "get"):
        return en + en[-1] + "ing"
    return (en[:-1] if en.endswith("e") and not en.endswith("ee") else en) + "ing"


def _present(fr: str, given: list[str]) -> tuple[str, ...]:
    """Complete the forms that the table gives: all five; je, il, the stem of the plural and maybe ils; or none."""
    if len(given) == 5:
        return tuple(given)
    if not given:
        stem = fr[:-2]
        soft = stem + "e" if stem.endswith("g") else stem  # the e in "nous mangeons" keeps the g soft
        return (stem + "e", stem + "e", soft + "ons", stem + "ez", stem + "ent")
    je, il, stem, *ils = given
    return (je, il, stem + "ons", stem + "ez", ils[0] if ils else stem + "ent")


def _read_verbs() -> dict[str, Verb]:
    verbs = {}
    for line in _VERB_TABLE.strip().splitlines():
        english, fr, present, participle, future_stem, flags, objects = (cell.strip() for cell in line.split("|"))
        name, en_past = english.split()
        en, _, particle = name.partition("-")
        verbs[name.replace("-", " ")] = Verb(
            en=en,
            en_third=_en_third(en),
            en_past=en_past,
            en_ing=_en_ing(en),
            particle="" if particle == "that" else particle.replace("-", " "),
            fr=fr,
            present=_present(fr, present.split()),
            participle=participle or fr[:-2] + "é",
            future_stem=future_stem or fr,
            flags=frozenset(flags.split()),
            objects=tuple(objects.split()),
        )
    return verbs


NOUNS = _read_nouns()
ADJECTIVES = _read_adjectives()
VERBS = _read_verbs()
# Nouns that only follow numbers: they take no article and no adjective.
COUNTED_NOUNS = {
    "euro": Noun("euro", "euros", "euro", "euros", False, "", ()),
    "year": Noun("year", "years", "an", "ans", False, "", ()),
    "inhabitant": Noun("inhabitant", "inhabitants", "habitant", "habitants", False, "", ()),
}

MEN = ("Paul", "Martin", "Antoine")
WOMEN = ("Marie", "Julie", "Alice")
CITIES = {"Paris": "Paris", "Rome": "Rome", "London": "Londres", "Athens": "Athènes"}

MONTHS = {
    "January": "janvier",
    "February": "février",
    "March": "mars",
    "April": "avril",
    "May": "mai",
    "June": "juin",
    "July": "juillet",
    "August": "août",
    "September": "septembre",
    "October": "octobre",
    "November": "novembre",
    "December": "décembre",
}
WEEKDAYS = {
    "Monday": "lundi",
    "Tuesday": "mardi",
    "Wednesday": "mercredi",
    "Thursday": "jeudi",
    "Friday": "vendredi",
    "Saturday": "samedi",
    "Sunday": "dimanche",
}
# French is written without elision and contraction here: `phrases.elide_and_contract` comes last.
TIMES = {
    "past": {
        "last week": "la semaine dernière",
        "last month": "le mois dernier",
        "last year": "la année dernière",
    },
    "present": {
        "today": "aujourd'hui",
        "now": "maintenant",
        "this morning": "ce matin",
    },
    "habit": {
        "every day": "tous les jours",
        "every morning": "tous les matins",
        "every evening": "tous les soirs",
    },
    "future": {
        "next week": "la semaine prochaine",
        "next month": "le mois prochain",
        "next year": "la année prochaine",
    },
}
DAY_PARTS = {"morning": "matin", "afternoon": "après-midi", "evening": "soir"}
FREQUENCIES = {"often": "souvent", "always": "toujours"}
WEATHER = {
    "past": {
        "it was raining": "il pleuvait",
        "it was hot": "il faisait chaud",
        "it was cold": "il faisait froid",
    },
    "present": {
        "it is raining": "il pleut",
        "it is hot": "il fait chaud",
        "it is cold": "il fait froid",
    },
}


def nouns_with(*traits: str) -> tuple[Noun, ...]:
    """List the nouns that have one of these traits."""
    return tuple(noun for noun in NOUNS.values() if any(trait in noun.traits for trait in traits))


OBJECTS = {verb: nouns_with(*verb.objects) for verb in VERBS.values() if verb.objects}  # that a verb can have


def verbs_for(noun: Noun) -> tuple[Verb, ...]:
    """List the verbs whose object a noun can be."""
    return tuple(verb for verb, nouns in OBJECTS.items() if noun in nouns)
