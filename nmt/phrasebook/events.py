"""Events, chosen at random: what an actor does or is, where and when."""

from functools import cache
from typing import Literal, NamedTuple

from nmt.phrasebook.chooser import Chooser, weighted
from nmt.phrasebook.circumstances import Circumstances, TimeFrame
from nmt.phrasebook.clauses import Modal, Negation, Tense, VerbGroup, clause
from nmt.phrasebook.lexicon import (
    ADJECTIVES,
    FIRST,
    FIRST_PLURAL,
    FREQUENCIES,
    NOUNS,
    OBJECTS,
    VERBS,
    Adjective,
    Noun,
    Verb,
    verbs_for,
)
from nmt.phrasebook.noun_phrases import (
    PRONOUNS,
    Nominal,
    NounPhrase,
    Pronoun,
    agreement_bit,
    noun_phrase,
    with_relative_clause,
)
from nmt.phrasebook.participants import POSSESSIVES, Actor, Participants, possessive_of, pronoun_for
from nmt.phrasebook.phrases import BIT, NOTHING, Phrase, after, side_by_side

# A full event has adjectives, relative clauses, places and times; a plain one has bare nouns and a time; a brief one
# has little more than a verb. A sentence of two full events would be too long for a small model.
Detail = Literal["full", "plain", "brief"]

RECIPIENT_VERBS = tuple(VERBS[en] for en in ("give", "show", "send"))
OBJECT_VERBS = tuple(verb for verb in OBJECTS if verb not in RECIPIENT_VERBS)
HUMAN_VERBS = tuple(verb for verb in OBJECT_VERBS if "person" in verb.objects)
_WHOM_VERBS = tuple(verb for verb in HUMAN_VERBS if "dative" not in verb.flags)
THING_VERBS = tuple(verb for verb in OBJECT_VERBS if "person" not in verb.objects)
_FAMILIES = {
    "object": OBJECT_VERBS,
    "recipient": RECIPIENT_VERBS,
    "human": HUMAN_VERBS,
    "place": tuple(VERBS[en] for en in ("go", "come back", "arrive", "leave", "stay", "live")),
    "activity": tuple(VERBS[en] for en in ("work", "sleep", "dance", "play")),
    "reflexive": tuple(verb for verb in VERBS.values() if "reflexive" in verb.flags),
}
_BY_ANIMALS = {name: tuple(verb for verb in verbs if "animal" in verb.flags) for name, verbs in _FAMILIES.items()}
RELATIVE_VERBS = {  # by trait of a thing: "the letter that I wrote"
    noun.en: verbs
    for noun in NOUNS.values()
    if (verbs := tuple(verb for verb in verbs_for(noun) if verb not in (VERBS["have"], VERBS["understand"])))
}
_STATES = tuple(adjective for adjective in ADJECTIVES.values() if adjective.predicative != "-")
_MOODS = "k"  # the group of adjectives for states that pass
_UNGRADED = ("c", "ca")  # the groups that take no "very": colours
_FREQUENCIES = tuple(FREQUENCIES.items())
_TO_ONE = tuple(PRONOUNS[en] for en in ("I", "he", "she", "we", "you"))
_TO_ANY = (*_TO_ONE, PRONOUNS["they"])
_READ, _BE = VERBS["read"], VERBS["be"]

_EVENT_FAMILIES = weighted(object=53, recipient=9, place=22, activity=10, reflexive=6)
_BRIEF_FAMILIES = weighted(human=30, place=30, activity=25, reflexive=15)
_ANIMAL_FAMILIES = weighted(object=30, place=34, activity=30, reflexive=6)
_TIMED: dict[Detail, float] = {"full": 0.95, "plain": 0.76, "brief": 0.095}  # how often an event has a time
_NEGATIONS = weighted(pas=56, jamais=20, plus=14, rien=10)
_MODALS: tuple[Modal, ...] = ("can", "must", "want")
_RELATIVE_TENSES: tuple[Tense, ...] = ("past", "past", "present", "future")


class Event(NamedTuple):
    """A clause without its subject; `time` can follow the clause or precede it."""

    group: VerbGroup
    obj: Nominal | None = None
    to: Nominal | None = None
    rest: Phrase = NOTHING
    time: Phrase = NOTHING


def tenses_of(verb: Verb) -> tuple[Tense, ...]:
    """List the tenses that suit a verb: for "lived" and "had", French would prefer the imperfect."""
    if "no-past" not in verb.flags:
        return ("present", "past", "future")
    return ("present", "future") if verb is VERBS["have"] else ("present",)


@cache
def states_of(groups: str) -> tuple[Adjective, ...]:
    """List the adjectives that can follow "to be" for a noun with these groups of adjectives."""
    return tuple(adjective for adjective in _STATES if any(group in groups for group in adjective.predicative))


def other_states(actor: Actor, text: str) -> tuple[Adjective, ...]:
    """List what an actor can be without contradicting its phrase: not "the red car is white", nor "small, but big"."""
    words = f"{actor.np.en} {text}".split()
    mentioned = {ADJECTIVES[word].predicative for word in words if word in ADJECTIVES}
    return tuple(adjective for adjective in states_of(actor.adjectives) if adjective.predicative not in mentioned)


def event_clause(actor: Actor, event: Event, *, inverted: bool = False) -> Phrase:
    """Build the clause in which an actor takes part in an event."""
    rest = side_by_side(event.rest, event.time)
    return clause(actor.np, event.group, obj=event.obj, to=event.to, rest=rest, inverted=inverted)


def takes_relative(np: NounPhrase) -> bool:
    """Return whether a relative clause can follow: not after pronouns and names, nor after "my sister"."""
    return np.en.startswith(("the ", "a ", "an ", "some ", "these ")) and "'" not in np.en


class Events:
    """Chooses actors and what they do or are.

    Parameters that several methods share:
        free: "they" and "them" may mean anyone; otherwise they need a noun that they refer to.
        simple: the verb is in a simple form, as after "if" and "when": no negation, adverb, modal or progressive.
        negatable: the verb may be negated.
    """

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self.participants = Participants(chooser)
        self._circumstances = Circumstances(chooser)

    # --- Actors and their relative clauses ----------------------------------------------------------------------------

    def actor(self, *, free: bool = False, bare: bool = False) -> Actor:
        """Choose a subject: rarely an animal, and unless `bare`, sometimes with a relative clause."""
        chooser = self._chooser
        if chooser.chance(0.05):
            return self.participants.animal()
        actor = self.participants.person(free=free, plain=bare)
        if bare:
            return actor
        if takes_relative(actor.np) and chooser.chance(0.26):
            relative = self.who(actor.np) if chooser.chance(0.5) else self.whom(actor.np)
            return actor._replace(np=with_relative_clause(actor.np, relative))
        return actor

    def next_actor(self, first: Actor, probability: float) -> Actor:
        """Choose the subject of a later clause: the first one's pronoun, or somebody else."""
        if first.pronoun and self._chooser.chance(probability):
            return first._replace(np=first.pronoun.subject)
        return self.actor(bare=True)

    def who(self, head: NounPhrase) -> Phrase:
        """Choose a relative clause whose subject is a person: "who lives in Paris"."""
        relative = NounPhrase("who", "qui", head.person, head.agreement)
        actor = Actor(relative, "person", "", possessive_of(head), None)
        return event_clause(actor, self.event(actor, self._chooser.pick(_RELATIVE_TENSES), detail="brief"))

    def whom(self, head: NounPhrase) -> Phrase:
        """Choose a relative clause whose object is a person: "whom Julie met"."""
        return self._object_relative(head, self._chooser.pick(_WHOM_VERBS), "whom")

    def _that(self, head: NounPhrase, noun: Noun, main_tense: Tense = "present") -> Phrase:
        return self._object_relative(head, self._chooser.pick(RELATIVE_VERBS[noun.en]), "that", main_tense)

    def _object_relative(self, head: NounPhrase, verb: Verb, pronoun: str, main_tense: Tense = "present") -> Phrase:
        tense = main_tense if main_tense == "past" else self._chooser.pick(_RELATIVE_TENSES)
        if "no-past" in verb.flags:
            tense = "present"
        progressive = tense == "present" and "state" not in verb.flags
        subject = self._short_subject()
        return after(pronoun, "que", clause(subject, VerbGroup(verb, tense, progressive), fronted=head))

    def _short_subject(self) -> NounPhrase:
        if self._chooser.chance(0.4):
            return self._chooser.pick(_TO_ONE).subject
        return self.participants.named()

    # --- Events -------------------------------------------------------------------------------------------------------

    def event(
        self,
        actor: Actor,
        tense: Tense,
        *,
        free: bool = False,
        detail: Detail = "full",
        simple: bool = False,
        negatable: bool = True,
    ) -> Event:
        """Choose what an actor does."""
        chooser = self._chooser
        while True:
            if actor.kind == "animal":
                verbs = _BY_ANIMALS[chooser.pick(_ANIMAL_FAMILIES)]
            else:
                verbs = _FAMILIES[chooser.pick(_BRIEF_FAMILIES if detail == "brief" else _EVENT_FAMILIES)]
            if not verbs:
                continue
            verb = chooser.pick(verbs)
            if tense in tenses_of(verb) and not (simple and verb is _READ):
                break
        group = self.group(verb, tense, simple=simple, negatable=negatable)
        event = self.fill(actor, group, free=free, detail=detail)
        if not isinstance(event.obj, Pronoun) and event.obj and event.obj.bits & BIT["relative_clause"]:
            return event._replace(rest=NOTHING)  # a place or time would join the relative clause
        time = self._time(event, simple=simple, detail=detail)
        return event._replace(time=time) if time.en else event

    def group(self, verb: Verb, tense: Tense, *, simple: bool = False, negatable: bool = True) -> VerbGroup:
        """Choose the negation, adverb, aspect and modal verb of an event."""
        chooser = self._chooser
        negation = self._negation(verb, tense) if negatable and not simple and chooser.chance(0.16) else None
        if tense == "present" and not simple and "state" not in verb.flags:
            if chooser.chance(0.3):
                return VerbGroup(verb, tense, negation=negation, modal=chooser.pick(_MODALS))
            # "they read" could be past or present: the present is always "are reading"
            if verb is _READ or (negation != "jamais" and chooser.chance(0.6)):
                return VerbGroup(verb, tense, progressive=True, negation="pas" if negation == "jamais" else negation)
        frequency = ("", "")
        if negation is None and not simple and "no-past" not in verb.flags and chooser.chance(0.06):
            frequency = chooser.pick(_FREQUENCIES)
        return VerbGroup(verb, tense, negation=negation, frequency=frequency)

    def _negation(self, verb: Verb, tense: Tense) -> Negation:
        negation = self._chooser.pick(_NEGATIONS)
        if negation == "jamais" or (negation == "plus" and tense != "past"):
            return "jamais" if negation == "jamais" else "plus"
        return "rien" if negation == "rien" and verb in THING_VERBS and verb is not VERBS["wear"] else "pas"

    def fill(self, actor: Actor, group: VerbGroup, *, free: bool, detail: Detail = "full") -> Event:
        """Choose the objects and the place of an event."""
        chooser, verb = self._chooser, group.verb
        if not verb.objects:
            return Event(group, rest=self._destination(verb, detail))
        obj = None if group.negation == "rien" else self._object(actor, group, free=free, detail=detail)
        if verb in RECIPIENT_VERBS:
            return Event(group, obj, to=self.recipient(actor))
        rest = NOTHING
        if verb in (VERBS["buy"], VERBS["choose"]) and chooser.chance(0.2):
            person = self._other_person(actor)
            rest = Phrase(f"for {person.en}", f"pour {person.fr}", person.bits)
        elif detail == "full" and "state" not in verb.flags and chooser.chance(0.65):
            rest = self._circumstances.place()
        return Event(group, obj, rest=rest)

    def recipient(self, actor: Actor) -> Nominal:
        """Choose to whom something is given, shown or sent."""
        if self._chooser.chance(0.45):
            return self._pronoun(actor, _TO_ANY)
        return self._other_person(actor)

    def _other_person(self, actor: Actor) -> NounPhrase:
        while True:
            np = self.participants.other_person(actor.possessive)
            if np.en != actor.np.en:
                return np

    def _pronoun(self, actor: Actor, pronouns: tuple[Pronoun, ...]) -> Pronoun:
        first_persons = (FIRST, FIRST_PLURAL)
        while True:
            pronoun = self._chooser.pick(pronouns)
            both_first = actor.np.person in first_persons and pronoun.subject.person in first_persons
            if not both_first and actor.np != pronoun.subject:  # not "we see me", "you see you"
                return pronoun

    def _object(self, actor: Actor, group: VerbGroup, *, free: bool, detail: Detail) -> Nominal:
        chooser, verb = self._chooser, group.verb
        if verb in HUMAN_VERBS and chooser.chance(0.7 if detail == "brief" else 0.35):
            return self._pronoun(actor, _TO_ANY if free or "dative" in verb.flags else _TO_ONE)
        noun = chooser.pick(OBJECTS[verb])
        if "person" in noun.traits or "kin" in noun.traits:
            return self._other_person(actor)
        single = verb in (VERBS["wear"], VERBS["have"])
        np = self.participants.thing(noun, actor.possessive, single=single, plain=detail != "full")
        # A recipient would join the relative clause: "showed a hat that Marie chose to her sister".
        if group.negation or verb in RECIPIENT_VERBS or actor.np.en == "who" or not takes_relative(np):
            return np
        if noun.en in RELATIVE_VERBS and detail == "full" and chooser.chance(0.18):
            return with_relative_clause(np, self._that(np, noun, group.tense))
        return np

    # --- Places, times and states -------------------------------------------------------------------------------------

    def _destination(self, verb: Verb, detail: Detail) -> Phrase:
        chooser = self._chooser
        if detail == "brief" and verb not in (VERBS["live"], VERBS["go"]) and chooser.chance(0.6):
            return NOTHING
        match f"{verb.en} {verb.particle}".rstrip():
            case "go":
                return self._circumstances.destination("to", "à")
            case "come back":
                return self._circumstances.destination("from", "de")
            case "arrive":
                return self._circumstances.destination("at", "à")
            case "leave":
                return self._circumstances.city("for", "pour")
            case "stay" | "live":
                return self._circumstances.place()
        if "reflexive" in verb.flags or detail == "brief":
            return NOTHING
        return self._circumstances.place() if chooser.chance(0.85) else NOTHING

    def _time(self, event: Event, *, simple: bool, detail: Detail) -> Phrase:
        group, chooser = event.group, self._chooser
        frame: TimeFrame = "past" if group.tense == "past" else "future"
        if group.tense == "present" and not simple:
            frame = "future" if group.modal else "present" if group.progressive else "habit"
        if group.frequency[0]:
            return self._circumstances.clock() if chooser.chance(0.7) and detail == "full" else NOTHING
        timeless = group.negation in ("jamais", "plus") or "no-past" in group.verb.flags
        if frame == "habit":
            timeless |= "state" in group.verb.flags or group.negation == "rien"
        return self._circumstances.time(frame) if chooser.chance(0.0 if timeless else _TIMED[detail]) else NOTHING

    def state(self, actor: Actor, tense: Tense, *, but: Phrase = NOTHING) -> Phrase:
        """Choose what an actor is or will be: nothing that `but` mentions, and in the future only what passes."""
        suited = other_states(actor, but.en)
        if tense == "future":
            passing = tuple(adjective for adjective in suited if adjective.predicative == _MOODS)
            tense, suited = ("future", passing) if passing else ("present", suited)
        group = VerbGroup(_BE, tense, negation="pas" if self._chooser.chance(0.2) else None)
        return clause(actor.np, group, rest=self._adjective(self._chooser.pick(suited), actor))

    def _adjective(self, adjective: Adjective, actor: Actor) -> Phrase:
        agreement = actor.np.agreement
        bits, form = agreement_bit(adjective, agreement), adjective.forms[agreement]
        if adjective.predicative not in _UNGRADED and self._chooser.chance(0.25):
            return Phrase(f"very {adjective.en}", f"très {form}", bits)
        return Phrase(adjective.en, form, bits)

    def subject_thing(self, nouns: tuple[Noun, ...]) -> Actor:
        """Choose a thing or place to describe, sometimes with a relative clause."""
        chooser = self._chooser
        noun = chooser.pick(nouns)
        plural = chooser.chance(0.2)
        determiner = chooser.pick(POSSESSIVES) if chooser.chance(0.25) else "the"
        np = noun_phrase(noun, determiner, plural=plural)
        if noun.en in RELATIVE_VERBS and takes_relative(np) and chooser.chance(0.35):
            np = with_relative_clause(np, self._that(np, noun))
        return Actor(np, "thing", noun.adjectives, "the", pronoun_for(np, "thing"))
