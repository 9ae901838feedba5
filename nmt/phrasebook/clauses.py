"""Clauses: a verb in both languages with its auxiliary, negation, pronouns and agreement."""

from typing import Literal, NamedTuple

from nmt.phrasebook.lexicon import THIRD, VERBS, Agreement, Verb
from nmt.phrasebook.noun_phrases import Nominal, NounPhrase, Pronoun
from nmt.phrasebook.phrases import BIT, NOTHING, Phrase

Tense = Literal["present", "past", "future"]
Negation = Literal["pas", "jamais", "plus", "rien"]
Modal = Literal["can", "must", "want"]
_REFLEXIVES = ("me", "se", "nous", "vous", "se")  # by person
_BE = ("am", "is", "are", "are", "are")
_NOT = {"pas": "not", "rien": "not", "jamais": "never", "plus": "no longer"}
_FRENCH_MODALS = {"can": VERBS["can"], "must": VERBS["must"], "want": VERBS["want"]}


class VerbGroup(NamedTuple):
    """A verb and everything that its forms depend on, except its subject and objects.

    Attributes:
        frequency: an adverb such as "often" in both languages.
        after_when: after "when", English uses the present and French the future.
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
    obj: Nominal | None = None,
    to: Nominal | None = None,
    fronted: NounPhrase | None = None,
    rest: Phrase = NOTHING,
    inverted: bool = False,
) -> Phrase:
    """Build a clause around its verb.

    Args:
        obj: the English object, which is "à …" in French for a dative verb.
        to: a further recipient.
        fronted: an object that precedes the clause, as in "the letters that I wrote": the participle agrees with it.
        rest: what follows the objects.
        inverted: English has the word order of a question; French keeps its own after "est-ce que".
    """
    bits = subject.bits | rest.bits | _group_bits(group)
    for phrase in (obj, to):
        bits |= BIT["object_pronoun"] if isinstance(phrase, Pronoun) else phrase.bits if phrase else 0
    french, agrees = _french_clause(subject, group, obj, to, fronted)
    english = _english_clause(subject, group, inverted) + _english_objects(group, obj, to, inverted)
    bits |= BIT["agreement"] if agrees else 0
    return Phrase(f"{english} {rest.en}".rstrip(), f"{french} {rest.fr}".rstrip(), bits)


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
    return bits | (BIT["negation"] if group.negation else 0)


# --- English ----------------------------------------------------------------------------------------------------------


def _english_clause(subject: NounPhrase, group: VerbGroup, inverted: bool) -> str:
    negation = _NOT[group.negation] if group.negation else ""
    auxiliary, main = _english_verb(subject.person, group, needs_auxiliary=inverted or negation == "not")
    middle = " ".join(word for word in (negation, group.frequency[0]) if word)
    if auxiliary == "can" and negation == "not" and not inverted:
        auxiliary, middle = "cannot", group.frequency[0]
    order = (auxiliary, subject.en, middle, main) if inverted else (subject.en, auxiliary, middle, main)
    return " ".join([word for word in (*order, group.verb.particle) if word])


def _english_verb(person: int, group: VerbGroup, *, needs_auxiliary: bool) -> tuple[str, str]:
    verb, third = group.verb, person == THIRD
    tense: Tense = "present" if group.after_when else group.tense
    if group.modal in ("can", "must"):
        return group.modal, verb.en
    if verb.en == "be" and not group.modal:
        return ("will", "be") if tense == "future" else (_BE[person], "")
    if group.progressive and tense == "present":
        return _BE[person], verb.en_ing
    base, tail = ("want", " to " + verb.en) if group.modal else (verb.en, "")
    if tense == "future":
        return "will", base + tail
    if tense == "past":
        return ("did", base + tail) if needs_auxiliary else ("", verb.en_past + tail)
    if needs_auxiliary:
        return ("does" if third else "do"), base + tail
    present = ("wants" if third else "want") if group.modal else (verb.en_third if third else verb.en)
    return "", present + tail


def _english_objects(group: VerbGroup, obj: Nominal | None, to: Nominal | None, inverted: bool) -> str:
    negated = group.negation is not None
    words = ""
    if obj:
        if isinstance(obj, Pronoun):
            words = " " + obj.en_object
        else:
            words = " " + (obj.en_any if inverted or negated else obj.en)
    elif group.negation == "rien":
        words = " anything"
    if isinstance(to, Pronoun) and isinstance(obj, NounPhrase):
        return f" {to.en_object}{words}"
    if to:
        words += " to " + (to.en_object if isinstance(to, Pronoun) else to.en)
    return words


# --- French -----------------------------------------------------------------------------------------------------------


def _french_clause(
    subject: NounPhrase,
    group: VerbGroup,
    obj: Nominal | None,
    to: Nominal | None,
    fronted: NounPhrase | None,
) -> tuple[str, bool]:
    """Return the words, and whether a participle has another form than the masculine singular."""
    verb, person = group.verb, subject.person
    clitics = _clitics(verb, person, obj, to)
    ne = ["ne"] if group.negation else []
    after_finite = [word for word in (group.negation or "", group.frequency[1]) if word]
    agreement: Agreement = "m"
    if group.modal:
        modal = _FRENCH_MODALS[group.modal]
        words = [subject.fr, *ne, conjugated(modal, person, group.tense), *after_finite, *clitics, verb.fr]
    elif group.tense == "past":
        auxiliary, agreement = _auxiliary_and_agreement(subject, verb, obj, fronted)
        participle = agreeing_participle(verb, agreement)
        words = [subject.fr, *ne, *clitics, auxiliary, *after_finite, participle]
    else:
        words = [subject.fr, *ne, *clitics, conjugated(verb, person, group.tense), *after_finite]
    if isinstance(obj, NounPhrase):
        words.append(("à " if "dative" in verb.flags else "") + (obj.fr_de if group.negation else obj.fr))
    if isinstance(to, NounPhrase):
        words.append("à " + to.fr)
    return " ".join([word for word in words if word]), agreeing_participle(verb, agreement) != verb.participle


def _auxiliary_and_agreement(
    subject: NounPhrase, verb: Verb, obj: Nominal | None, fronted: NounPhrase | None
) -> tuple[str, Agreement]:
    if "etre" in verb.flags or "reflexive" in verb.flags:
        return VERBS["be"].present[subject.person], subject.agreement
    auxiliary = VERBS["have"].present[subject.person]
    before = fronted or (obj if isinstance(obj, Pronoun) and "dative" not in verb.flags else None)
    return auxiliary, before.agreement if before else "m"


def _clitics(verb: Verb, person: int, obj: Nominal | None, to: Nominal | None) -> list[str]:
    """List the pronouns before the verb in order: me, se, nous, vous; then le, la, les; then lui, leur."""
    clitics = [_REFLEXIVES[person]] if "reflexive" in verb.flags else []
    if isinstance(obj, Pronoun):
        clitics.append(obj.indirect if "dative" in verb.flags else obj.direct)
    if isinstance(to, Pronoun):
        clitics.insert(len(clitics) if to.indirect in ("lui", "leur") else 0, to.indirect)
    return clitics


def conjugated(verb: Verb, person: int, tense: Tense) -> str:
    """Conjugate a verb in the present or future."""
    if tense == "future":
        return verb.future_stem + ("ai", "a", "ons", "ez", "ont")[person]
    return verb.present[person]


def agreeing_participle(verb: Verb, agreement: Agreement) -> str:
    """Form the participle: "écrit", "écrite", "écrits", "écrites"; "pris" takes no further s in the plural."""
    participle = verb.participle
    if agreement == "mp" and participle.endswith("s"):
        return participle
    return participle + {"m": "", "f": "e", "mp": "s", "fp": "es"}[agreement]
