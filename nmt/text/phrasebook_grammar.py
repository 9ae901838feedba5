"""The synchronous grammar of the built-in corpus: each function builds a phrase in English and in French at once.

French is built in full words ("de le", "je ai") and takes its spoken shape at the end, in `sentence`. Every phrase
carries the phenomena seen in its French as a set of bits, so that joining phrases joins their sets.
"""

from typing import Literal, NamedTuple

from nmt.text.phrasebook_lexicon import (
    FIRST,
    FIRST_PLURAL,
    SECOND,
    THIRD,
    THIRD_PLURAL,
    VERBS,
    Adjective,
    Agreement,
    Noun,
    Verb,
    begins_with_vowel,
)
from nmt.text.phrasebook_numerals import en_number, fr_number

PHENOMENA: tuple[str, ...] = (
    "agreement",  # an adjective or participle in the feminine or plural
    "adjective_before",
    "adjective_after",
    "elision",
    "contraction",  # au, aux, du, des from à or de and an article
    "negation",
    "question",
    "object_pronoun",
    "reflexive",
    "infinitive",  # after pouvoir, devoir or vouloir
    "present",
    "passe_compose_avoir",
    "passe_compose_etre",
    "future",
    "number",
    "date",
    "time_of_day",
    "relative_clause",
    "subordinate_clause",  # parce que, quand, si, que, où
    "coordination",
)
BIT = {name: 1 << index for index, name in enumerate(PHENOMENA)}
AGREEMENT, OBJECT_PRONOUN, NEGATION = BIT["agreement"], BIT["object_pronoun"], BIT["negation"]

Tense = Literal["present", "past", "future"]
Negation = Literal["pas", "jamais", "plus", "rien", "personne"]
Modal = Literal["can", "must", "want"]
Determiner = Literal[
    "",
    "the",
    "a",
    "some",
    "this",
    "my",
    "his",
    "her",
    "our",
    "your",
    "their",
    "every",
    "all",
    "many",
    "which",
    "how many",
]


class Phrase(NamedTuple):
    """The same words in both languages, and the bits of what they show."""

    en: str
    fr: str
    bits: int = 0


NOTHING = Phrase("", "")


class NounPhrase(NamedTuple):
    """A phrase that can be subject or object; `en_any` and `fr_de` are its forms where "some" turns to "any", "de"."""

    en: str
    fr: str
    column: int = THIRD
    agreement: Agreement = "m"
    bits: int = 0
    en_any: str = ""
    fr_de: str = ""


class Pronoun(NamedTuple):
    """A pronoun as subject and as object; `direct` and `indirect` stand before the French verb."""

    subject: NounPhrase
    en_object: str
    direct: str
    indirect: str
    agreement: Agreement


def _pronoun(english: str, french: str, column: int, agreement: Agreement) -> Pronoun:
    (en, en_object), (fr, direct, indirect) = english.split(), french.split()
    return Pronoun(NounPhrase(en, fr, column, agreement), en_object, direct, indirect, agreement)


PRONOUNS = {
    "I": _pronoun("I me", "je me me", FIRST, "m"),
    "he": _pronoun("he him", "il le lui", THIRD, "m"),
    "she": _pronoun("she her", "elle la lui", THIRD, "f"),
    "we": _pronoun("we us", "nous nous nous", FIRST_PLURAL, "mp"),
    "you": _pronoun("you you", "vous vous vous", SECOND, "m"),
    "they": _pronoun("they them", "ils les leur", THIRD_PLURAL, "mp"),
    # These three need an antecedent in the sentence.
    "it (m)": _pronoun("it it", "il le lui", THIRD, "m"),
    "it (f)": _pronoun("it it", "elle la lui", THIRD, "f"),
    "they (f)": _pronoun("they them", "elles les leur", THIRD_PLURAL, "fp"),
}
_REFLEXIVES = ("me", "se", "nous", "vous", "se")
_POSSESSIVES = {  # masculine and feminine singular, plural
    "my": ("mon", "ma", "mes"),
    "his": ("son", "sa", "ses"),
    "her": ("son", "sa", "ses"),
    "our": ("notre", "notre", "nos"),
    "your": ("votre", "votre", "vos"),
    "their": ("leur", "leur", "leurs"),
}
_QUANTITIES = {"many": "beaucoup de ", "how many": "combien de "}


def agreement_of(*, feminine: bool, plural: bool) -> Agreement:
    """Name the form of an adjective."""
    if plural:
        return "fp" if feminine else "mp"
    return "f" if feminine else "m"


def _an(en: str) -> str:
    return "an " + en if en[0] in "aeiouAEIOU" else "a " + en


# --- Noun phrases -----------------------------------------------------------------------------------------------------


def noun_phrase(
    noun: Noun,
    determiner: Determiner = "the",
    *,
    plural: bool = False,
    before: Adjective | None = None,
    after: Adjective | None = None,
) -> NounPhrase:
    """Build a determiner, a noun and at most one adjective on either side of it.

    A singular noun with "some" is a mass ("some bread", "du pain"); a noun without determiner is meant as a whole kind
    ("likes apples", "aime les pommes").
    """
    plural = plural or determiner in ("all", "many", "how many")
    agreement = agreement_of(feminine=noun.feminine, plural=plural)
    en, fr, bits = _with_adjectives(noun, agreement, before, after)
    column = THIRD_PLURAL if plural else THIRD
    if determiner == "a":
        fr_de = "de " + fr
        return NounPhrase(_an(en), ("une " if noun.feminine else "un ") + fr, column, agreement, bits, _an(en), fr_de)
    if determiner == "some":
        fr_de = "de " + fr
        article = "" if plural else ("de la " if noun.feminine else "de le ")
        # "des pommes", but "de belles pommes": an adjective before the noun takes the plural article's place.
        fr_some = article + fr if article else (fr_de if before else "des " + fr)
        return NounPhrase("some " + en, fr_some, column, agreement, bits, "any " + en, fr_de)
    en, fr = _determined(en, fr, determiner, agreement)
    return NounPhrase(en, fr, column, agreement, bits, en, fr)


def _with_adjectives(
    noun: Noun, agreement: Agreement, before: Adjective | None, after: Adjective | None
) -> tuple[str, str, int]:
    plural = agreement in ("mp", "fp")
    en, fr, bits = noun.en_plural if plural else noun.en, noun.fr_plural if plural else noun.fr, 0
    if after:
        en, fr = f"{after.en} {en}", f"{fr} {after.forms[agreement]}"
        bits |= BIT["adjective_after"] | agreement_bit(after, agreement)
    if before:
        assert before.before
        form = before.before_vowel if agreement == "m" and begins_with_vowel(fr) else before.forms[agreement]
        en, fr = f"{before.en} {en}", f"{form} {fr}"
        bits |= BIT["adjective_before"] | agreement_bit(before, agreement)
    return en, fr, bits


def agreement_bit(adjective: Adjective, agreement: Agreement) -> int:
    """Mark an adjective whose form differs from that of the dictionary."""
    return AGREEMENT if adjective.forms[agreement] != adjective.forms["m"] else 0


def _determined(en: str, fr: str, determiner: Determiner, agreement: Agreement) -> tuple[str, str]:
    feminine, plural = agreement in ("f", "fp"), agreement in ("mp", "fp")
    match determiner:
        case "the" | "":
            article = "les" if plural else "la" if feminine else "le"
            return f"{determiner} {en}".lstrip(), f"{article} {fr}"
        case "this":
            ce = "ces" if plural else "cette" if feminine else "cet" if begins_with_vowel(fr) else "ce"
            return ("these " if plural else "this ") + en, f"{ce} {fr}"
        case "every":
            return "every " + en, "chaque " + fr
        case "all":
            return "all the " + en, ("toutes les " if feminine else "tous les ") + fr
        case "which":
            quel = {"m": "quel", "f": "quelle", "mp": "quels", "fp": "quelles"}[agreement]
            return "which " + en, f"{quel} {fr}"
        case "many" | "how many":
            return f"{determiner} {en}", _QUANTITIES[determiner] + fr
    masculine, feminine_form, plural_form = _POSSESSIVES[determiner]
    # "mon école": the masculine form spares the ear two vowels.
    singular = feminine_form if feminine and not begins_with_vowel(fr) else masculine
    return f"{determiner} {en}", f"{plural_form if plural else singular} {fr}"


def counted(noun: Noun, number: int, *, after: Adjective | None = None) -> NounPhrase:
    """Build a number above one and its noun: "eighty-one books", "quatre-vingt-un livres"."""
    agreement = agreement_of(feminine=noun.feminine, plural=True)
    en, fr, bits = _with_adjectives(noun, agreement, None, after)
    en = f"{en_number(number)} {en}"
    fr = f"{fr_number(number, feminine=noun.feminine)} {fr}"
    return NounPhrase(en, fr, THIRD_PLURAL, agreement, bits | BIT["number"], en, fr)


def owned(noun: Noun, owner: NounPhrase, *, plural: bool = False) -> NounPhrase:
    """Build a thing and its owner: "the girls' dog", "le chien des filles"."""
    owner_is_s_plural = owner.column == THIRD_PLURAL and owner.en.endswith("s")
    en = f"{owner.en}{chr(39) if owner_is_s_plural else chr(39) + 's'} {noun.en_plural if plural else noun.en}"
    thing = noun_phrase(noun, plural=plural)
    fr = f"{thing.fr} de {owner.fr}"
    return NounPhrase(en, fr, thing.column, thing.agreement, owner.bits, en, fr)


def name(en: str, *, feminine: bool) -> NounPhrase:
    """Build a person's name, which is the same in both languages."""
    return NounPhrase(en, en, THIRD, "f" if feminine else "m", 0, en, en)


def joined(first: NounPhrase, second: NounPhrase, conjunction: Literal["and", "or"]) -> NounPhrase:
    """Join two noun phrases; the pair is feminine only if both are."""
    et = {"and": "et", "or": "ou"}[conjunction]
    feminine = first.agreement in ("f", "fp") and second.agreement in ("f", "fp")
    en = f"{first.en} {conjunction} {second.en}"
    return NounPhrase(
        en,
        f"{first.fr} {et} {second.fr}",
        THIRD_PLURAL,
        "fp" if feminine else "mp",
        first.bits | second.bits | BIT["coordination"],
        f"{first.en_any} {conjunction} {second.en_any}",
        f"{first.fr_de} {et} {second.fr_de}",
    )


def described(head: NounPhrase, relative: Phrase) -> NounPhrase:
    """Add a relative clause to a noun phrase."""
    return NounPhrase(
        f"{head.en} {relative.en}",
        f"{head.fr} {relative.fr}",
        head.column,
        head.agreement,
        head.bits | relative.bits | BIT["relative_clause"],
        f"{head.en_any} {relative.en}",
        f"{head.fr_de} {relative.fr}",
    )


# --- Clauses ----------------------------------------------------------------------------------------------------------


class VerbGroup(NamedTuple):
    """A verb and all that its forms depend on but its subject and objects.

    `after_when`: after "when", English says in the present what French says in the future.
    """

    verb: Verb
    tense: Tense = "present"
    progressive: bool = False
    negation: Negation | None = None
    frequency: tuple[str, str] = ("", "")
    modal: Modal | None = None
    after_when: bool = False


def clause(
    subject: NounPhrase,
    group: VerbGroup,
    *,
    obj: NounPhrase | Pronoun | None = None,
    to: NounPhrase | Pronoun | None = None,
    gap: NounPhrase | None = None,
    rest: Phrase = NOTHING,
    inverted: bool = False,
) -> Phrase:
    """Build a clause around its verb.

    `obj` is the English object, which a dative verb turns into "à …"; `to` is a further recipient. `gap` is an object
    that stands before the clause, as in "the letters that … wrote": the participle agrees with it. `inverted` is the
    English order of questions; French keeps its own after "est-ce que".
    """
    bits = subject.bits | rest.bits | _group_bits(group)
    for phrase in (obj, to):
        bits |= OBJECT_PRONOUN if isinstance(phrase, Pronoun) else phrase.bits if phrase else 0
    french, agrees = _french_clause(subject, group, obj, to, gap)
    english = _english_clause(subject, group, inverted) + _english_objects(group, obj, to, inverted)
    return Phrase(f"{english} {rest.en}".rstrip(), f"{french} {rest.fr}".rstrip(), bits | (AGREEMENT if agrees else 0))


def _group_bits(group: VerbGroup) -> int:
    flags = group.verb.flags
    if group.modal or group.tense == "present":
        bits = BIT["present"]
    elif group.tense == "future":
        bits = BIT["future"]
    else:
        bits = BIT["passe_compose_etre" if "etre" in flags or "reflexive" in flags else "passe_compose_avoir"]
    bits |= BIT["infinitive"] if group.modal else 0
    bits |= BIT["reflexive"] if "reflexive" in flags else 0
    return bits | (NEGATION if group.negation else 0)


_BE = ("am", "is", "are", "are", "are")
_NOT = {"pas": "not", "rien": "not", "personne": "not", "jamais": "never", "plus": "no longer"}
_MODAL_FRENCH = {"can": VERBS["can"], "must": VERBS["must"], "want": VERBS["want"]}


def _english_clause(subject: NounPhrase, group: VerbGroup, inverted: bool) -> str:
    negation = _NOT[group.negation] if group.negation else ""
    auxiliary, main = _english_verb(subject.column, group, needs_auxiliary=inverted or negation == "not")
    middle = " ".join(word for word in (negation, group.frequency[0]) if word)
    if auxiliary == "can" and negation == "not" and not inverted:
        auxiliary, middle = "cannot", group.frequency[0]
    order = (auxiliary, subject.en, middle, main) if inverted else (subject.en, auxiliary, middle, main)
    return " ".join([word for word in (*order, group.verb.particle) if word])


def _english_verb(column: int, group: VerbGroup, *, needs_auxiliary: bool) -> tuple[str, str]:
    verb, third = group.verb, column == THIRD
    tense: Tense = "present" if group.after_when else group.tense
    if group.modal in ("can", "must"):
        return group.modal, verb.en
    if verb.en == "be" and not group.modal:
        return ("will", "be") if tense == "future" else (_BE[column], "")
    if group.progressive and tense == "present":
        return _BE[column], verb.en_ing
    base, tail = ("want", " to " + verb.en) if group.modal else (verb.en, "")
    if tense == "future":
        return "will", base + tail
    if tense == "past":
        return ("did", base + tail) if needs_auxiliary else ("", verb.en_past + tail)
    if needs_auxiliary:
        return ("does" if third else "do"), base + tail
    present = ("wants" if third else "want") if group.modal else (verb.en_third if third else verb.en)
    return "", present + tail


def _english_objects(
    group: VerbGroup, obj: NounPhrase | Pronoun | None, to: NounPhrase | Pronoun | None, inverted: bool
) -> str:
    negated = group.negation is not None
    words = ""
    if obj:
        if isinstance(obj, Pronoun):
            words = " " + obj.en_object
        else:
            words = " " + (obj.en_any if inverted or negated else obj.en)
    elif group.negation in ("rien", "personne"):
        words = " anything" if group.negation == "rien" else " anyone"
    if isinstance(to, Pronoun) and isinstance(obj, NounPhrase):
        return f" {to.en_object}{words}"
    if to:
        words += " to " + (to.en_object if isinstance(to, Pronoun) else to.en)
    return words


def _french_clause(
    subject: NounPhrase,
    group: VerbGroup,
    obj: NounPhrase | Pronoun | None,
    to: NounPhrase | Pronoun | None,
    gap: NounPhrase | None,
) -> tuple[str, bool]:
    """Return the words, and whether a participle shows agreement."""
    verb, column = group.verb, subject.column
    clitics = _clitics(verb, column, obj, to)
    ne = ["ne"] if group.negation else []
    after_finite = [word for word in (group.negation or "", group.frequency[1]) if word and word != "personne"]
    agreement: Agreement = "m"
    if group.modal:
        modal = _MODAL_FRENCH[group.modal]
        words = [subject.fr, *ne, conjugated(modal, column, group.tense), *after_finite, *clitics, verb.fr]
    elif group.tense == "past":
        auxiliary, agreement = _auxiliary_and_agreement(subject, verb, obj, gap)
        participle = agreeing_participle(verb, agreement)
        words = [subject.fr, *ne, *clitics, auxiliary, *after_finite, participle]
    else:
        words = [subject.fr, *ne, *clitics, conjugated(verb, column, group.tense), *after_finite]
    if group.negation == "personne":
        words.append("à personne" if "dative" in verb.flags else "personne")
    if isinstance(obj, NounPhrase):
        words.append(("à " if "dative" in verb.flags else "") + (obj.fr_de if group.negation else obj.fr))
    if isinstance(to, NounPhrase):
        words.append("à " + to.fr)
    return " ".join([word for word in words if word]), agreement != "m" and agreeing_participle(
        verb, agreement
    ) != verb.participle


def _auxiliary_and_agreement(
    subject: NounPhrase, verb: Verb, obj: NounPhrase | Pronoun | None, gap: NounPhrase | None
) -> tuple[str, Agreement]:
    if "etre" in verb.flags or "reflexive" in verb.flags:
        return VERBS["be"].present[subject.column], subject.agreement
    auxiliary = VERBS["have"].present[subject.column]
    before = gap or (obj if isinstance(obj, Pronoun) and "dative" not in verb.flags else None)
    return auxiliary, before.agreement if before else "m"


def _clitics(verb: Verb, column: int, obj: NounPhrase | Pronoun | None, to: NounPhrase | Pronoun | None) -> list[str]:
    """Order the pronouns before the verb: me, te, se, nous, vous; then le, la, les; then lui, leur."""
    clitics = [_REFLEXIVES[column]] if "reflexive" in verb.flags else []
    if isinstance(obj, Pronoun):
        clitics.append(obj.indirect if "dative" in verb.flags else obj.direct)
    if isinstance(to, Pronoun):
        clitics.insert(len(clitics) if to.indirect in ("lui", "leur") else 0, to.indirect)
    return clitics


def conjugated(verb: Verb, column: int, tense: Tense) -> str:
    """Conjugate in a simple tense."""
    if tense == "future":
        return verb.future_stem + ("ai", "a", "ons", "ez", "ont")[column]
    return verb.present[column]


def agreeing_participle(verb: Verb, agreement: Agreement) -> str:
    """Form the participle: "écrit", "écrite", "écrits", "écrites"; "pris" has no further s, "dû" loses its accent."""
    participle = verb.participle
    if agreement == "mp" and participle.endswith("s"):
        return participle
    return participle + {"m": "", "f": "e", "mp": "s", "fp": "es"}[agreement]


# --- Sentences --------------------------------------------------------------------------------------------------------

_ELIDED = frozenset(("le", "la", "je", "me", "se", "ne", "de", "que"))
_CONTRACTED = {("de", "le"): "du", ("de", "les"): "des", ("à", "le"): "au", ("à", "les"): "aux"}


def spoken(fr: str) -> Phrase:
    """Elide and contract: "parce que il parle de le homme à le roi" is "parce qu'il parle de l'homme au roi"."""
    bits = 0
    words: list[str] = []
    for word in reversed(fr.split(" ")):  # from the end: "de le homme" must find "l'homme", not contract
        following = words[-1] if words else ""
        if word in _ELIDED and following and begins_with_vowel(following):
            words[-1] = f"{word[:-1]}'{following}"
            bits |= BIT["elision"]
        elif word == "si" and following in ("il", "ils"):
            words[-1] = f"s'{following}"
            bits |= BIT["elision"]
        elif (word, following) in _CONTRACTED:
            words[-1] = _CONTRACTED[word, following]
            bits |= BIT["contraction"]
        else:
            words.append(word)
    return Phrase("", " ".join(words[::-1]), bits)


def sentence(phrase: Phrase, end: Literal[".", "?"] = ".") -> Phrase:
    """Finish a sentence: elide and contract, begin with a capital letter, end with the mark."""
    _, fr, bits = spoken(phrase.fr)
    fr_end = end if end == "." else " " + end  # French sets a space before the question mark
    return Phrase(phrase.en[0].upper() + phrase.en[1:] + end, fr[0].upper() + fr[1:] + fr_end, phrase.bits | bits)
