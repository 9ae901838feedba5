"""The words of the built-in corpus, English and French side by side, with every form that its grammar needs.

A word is here only if its English form tells the French one: "friend" is missing, since it hides whether "ami" or
"amie" is meant. The tables are lines of text. What is regular is derived; what is not follows a slash or has a column.
"""

from typing import Literal, NamedTuple

Agreement = Literal["m", "f", "mp", "fp"]
# Columns of the tables of conjugation. "You" is always the polite "vous" said to one man, so "tu" has no column.
FIRST, THIRD, FIRST_PLURAL, SECOND, THIRD_PLURAL = range(5)


class Noun(NamedTuple):
    """A noun; `adjectives` names groups of adjectives that suit it, `traits` what it can take part in."""

    en: str
    en_plural: str
    fr: str
    fr_plural: str
    feminine: bool
    adjectives: str
    traits: tuple[str, ...]


class Adjective(NamedTuple):
    """An adjective, which in French stands before its noun or after it; `before_vowel` is as in "bel arbre"."""

    en: str
    forms: dict[Agreement, str]
    before_vowel: str
    before: bool
    attributive: str
    predicative: str


class Verb(NamedTuple):
    """A verb: English forms, a particle as in "look for", French forms, and the traits that its object may have."""

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
    """Tell whether a word elides the one before it: every h here is mute but that of "huit"; "onze" resists."""
    return fr[0] in "aeiouàâéèêîôûœhAEIOUÉ" and not fr.startswith(("huit", "onze"))


# english[/plural] french[/plural] gender adjectives traits
_NOUN_TABLE = """
man/men homme m oypek person adult
woman/women femme f oypekb person adult
boy garçon m skt person
girl fille f sktb person
child/children enfant m sk person
doctor médecin m oypekf person adult
king roi m oypkf person adult
queen reine f oypkfb person adult
actor acteur m oypekf person adult
actress actrice f oypekfb person adult
waiter serveur m oyek person adult
waitress serveuse f oyek person adult
brother frère m ykt kin several
sister sœur f ykt kin several
father père m okt kin
mother mère f okt kin
uncle oncle m opk kin several
aunt tante f opk kin several
grandfather grand-père m ok kin
grandmother grand-mère f ok kin
dog chien m sar animal pet
cat chat m sa animal pet
horse cheval m sab animal pet
cow vache f sa animal
bird oiseau m sbc animal
rabbit lapin m sa animal pet
mouse/mice souris f sa animal
apple pomme f sg food
pear poire f sg food
orange orange f sg food
egg œuf m s food
cake gâteau m sgx food
bread pain m g mass-food
cheese fromage m gxe mass-food
meat viande f gx mass-food
soup soupe f g mass-food
water eau f - mass-drink
milk lait m g mass-drink
coffee café m gx mass-drink
tea thé m ge mass-drink
wine vin m gex mass-drink
book livre m sonegxh readable writable goods portable gift
letter lettre f so readable writable portable
newspaper/newspapers journal m one readable goods portable
story/stories histoire f sobg readable writable heard
song chanson f obg heard sung writable
car voiture f sonbcdxv goods washable owned thing
bicycle vélo m sonbcdx goods washable owned gift
boat bateau m sonbcx goods paintable owned thing
key clé f so portable
bag sac m snocvdxh openable goods portable owned gift
suitcase valise f snocvh openable goods portable owned
bottle bouteille f sv openable portable
door porte f socl openable paintable
window fenêtre f sol openable washable
table table f sonbcdxh goods paintable washable
chair chaise f sonbcd goods paintable washable
coat manteau m nobcdx clothes goods portable washable gift
hat chapeau m nobcx clothes goods portable gift
dress robe f nobcdx clothes goods portable washable gift
shirt chemise f nobcdx clothes goods portable washable gift
watch montre f onbx goods portable owned gift
umbrella parapluie m oncs goods portable owned gift
flower fleur f sbc goods portable gift thing
tree arbre m sob thing
painting tableau m sobfx goods owned gift thing
present cadeau m sbx portable
question question f g asked
school école f sonbm place at seen
market marché m o place at seen
hospital hôpital m onm place at seen
park parc m obq place at in seen
station gare f onm place at seen
church église f sob place in seen
museum musée m onmfl place at seen
library/libraries bibliothèque f onmql place at
hotel hôtel m sonbmxq place at seen
restaurant restaurant m sonbmfxl place at
castle château m sobf place at in seen
beach plage f sbq place at seen
garden jardin m sobq place in seen
kitchen cuisine f snbd in
house maison f sobnmqvx place in seen goods
village village m sobq place in seen
city/cities ville f sobm place in seen
forest forêt f sobrq place in seen
"""

# english french[/feminine] position groups-beside-a-noun groups-after-"to be"
_ADJECTIVE_TABLE = """
small petit before s s
big grand before s s
old vieux/vieille before o o
young jeune before y o
new nouveau/nouvelle before n -
beautiful beau/belle before b b
pretty joli before b -
good bon/bonne before g g
bad mauvais before g g
red rouge after c c
blue bleu after c c
green vert after c c
yellow jaune after c c
white blanc/blanche after ca ca
black noir after ca ca
grey gris after ca ca
French français after e e
English anglais after e e
Italian italien/italienne after e e
famous célèbre after f f
rich riche after p p
intelligent intelligent after k k
kind gentil/gentille after k k
serious sérieux/sérieuse after k k
happy heureux/heureuse after k k
sad triste after k k
tired fatigué after k k
sick malade after k ka
heavy lourd after h h
expensive cher/chère after x x
empty vide after v v
clean propre after d d
dirty sale after d d
closed fermé after l l
open ouvert after l l
modern moderne after m m
quiet tranquille after q q
dangerous dangereux/dangereuse after r r
tall grand before - t
"""

# english past | infinitive | present | participle | future stem | flags | traits of objects
# Present: je, il, the stem of the plural (and ils, if its stem differs); all five; or none for a regular -er verb.
# Flags: state: not "is …ing"; animal: animals do it too; no-past: its passé composé means something else; by default
# nothing. "etre" and "reflexive" choose the auxiliary; "dative": its English object is a French "à …".
_VERB_TABLE = """
eat ate | manger | | | | animal | food mass-food
drink drank | boire | bois boit buv boivent | bu | boir | animal | mass-drink
read read | lire | lis lit lis | lu | lir | | readable
write wrote | écrire | écris écrit écriv | écrit | écrir | | writable
buy bought | acheter | achète achète achet achètent | acheté | achèter | | goods food
sell sold | vendre | vends vend vend | vendu | vendr | | goods food
see saw | voir | vois voit voy voient | vu | verr | state animal | person kin animal thing seen
like liked | aimer | | | | state no-past | person kin
know knew | connaître | connais connaît connaiss | connu | connaîtr | state no-past | person kin place
find found | trouver | | | | state | portable pet
lose lost | perdre | perds perd perd | perdu | perdr | state | portable
take took | prendre | prends prend pren prennent | pris | prendr | | portable
look-for looked | chercher | | | | animal | portable pet person kin
wait-for waited | attendre | attends attend attend | attendu | attendr | | person kin
listen-to listened | écouter | | | | | heard person kin
look-at looked | regarder | | | | animal | thing seen animal person
open opened | ouvrir | ouvre ouvre ouvr | ouvert | ouvrir | | openable
close closed | fermer | | | | | openable
wash washed | laver | | | | | washable
paint painted | peindre | peins peint peign | peint | peindr | | paintable
choose chose | choisir | choisis choisit choisiss | choisi | choisir | | goods
meet met | rencontrer | | | | | person kin
help helped | aider | | | | | person kin
invite invited | inviter | | | | | person kin
forget forgot | oublier | | | | state | portable
understand understood | comprendre | comprends comprend compren comprennent | compris | comprendr | state | asked
wear wore | porter | | | | | clothes
sing sang | chanter | | | | | sung
have had | avoir | ai a av ont | eu | aur | state no-past | owned pet
give gave | donner | | | | | gift
show showed | montrer | | | | | gift portable
send sent | envoyer | envoie envoie envoy envoient | envoyé | enverr | | gift
lend lent | prêter | | | | | gift
speak-to spoke | parler | | | | dative | person kin
answer answered | répondre | réponds répond répond | répondu | répondr | dative | person kin
work worked | travailler | | | | |
sleep slept | dormir | dors dort dorm | dormi | dormir | animal |
dance danced | danser | | | | |
run ran | courir | cours court cour | couru | courr | animal |
play played | jouer | | | | animal |
travel travelled | voyager | | | | |
live lived | habiter | | | | state no-past |
go went | aller | vais va all vont | allé | ir | etre |
come-back came | revenir | reviens revient reven reviennent | revenu | reviendr | etre animal |
come came | venir | viens vient ven viennent | venu | viendr | etre |
arrive arrived | arriver | | | | etre |
leave left | partir | pars part part | parti | partir | etre |
stay stayed | rester | | | | etre animal |
fall fell | tomber | | | | etre animal no-present |
go-out went | sortir | sors sort sort | sorti | sortir | etre animal |
become became | devenir | deviens devient deven deviennent | devenu | deviendr | etre state |
get-up got | lever | lève lève lev lèvent | levé | lèver | reflexive |
go-to-bed went | coucher | | | | reflexive |
wake-up woke | réveiller | | | | reflexive animal |
fall-asleep fell | endormir | endors endort endorm | endormi | endormir | reflexive animal |
hurry hurried | dépêcher | | | | reflexive |
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
    if en in ("forget", "get", "run"):
        return en + en[-1] + "ing"
    if en == "travel":
        return "travelling"
    return (en[:-1] if en.endswith("e") and not en.endswith("ee") else en) + "ing"


def _present(fr: str, given: list[str]) -> tuple[str, ...]:
    """Complete the forms that the table gives: five; je, il, the plural's stem and maybe ils; or none."""
    if len(given) == 5:
        return tuple(given)
    if not given:
        stem = fr[:-2]
        soft = stem + "e" if stem.endswith("g") else stem  # "nous mangeons" keeps the g soft
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
# Nouns that the grammar only counts: they take no article and no adjective.
COUNTED_NOUNS = {
    "euro": Noun("euro", "euros", "euro", "euros", False, "", ()),
    "year": Noun("year", "years", "an", "ans", False, "", ()),
    "inhabitant": Noun("inhabitant", "inhabitants", "habitant", "habitants", False, "", ()),
    "page": Noun("page", "pages", "page", "pages", True, "", ()),
}

MEN = ("Paul", "Martin", "Antoine", "Victor", "Simon", "Arthur")
WOMEN = ("Marie", "Anne", "Julie", "Alice", "Sophie", "Claire")
# english french; a city takes "à", a country "en".
CITIES = {
    "Paris": "Paris",
    "London": "Londres",
    "Rome": "Rome",
    "Geneva": "Genève",
    "Lyon": "Lyon",
    "Athens": "Athènes",
}
COUNTRIES = {"France": "France", "Italy": "Italie", "Spain": "Espagne"}

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
# In full words, as the grammar joins them before it elides.
TENSE_TIMES = {
    "past": {
        "yesterday": "hier",
        "yesterday evening": "hier soir",
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
        "every week": "toutes les semaines",
    },
    "future": {
        "tomorrow": "demain",
        "tomorrow morning": "demain matin",
        "this evening": "ce soir",
        "next week": "la semaine prochaine",
        "next month": "le mois prochain",
        "next year": "la année prochaine",
    },
}
FREQUENCIES = {"often": "souvent", "always": "toujours", "sometimes": "parfois"}
