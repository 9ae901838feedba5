"""The events of the built-in corpus, drawn at random: a verb, its objects, where and when."""

from functools import cache
from typing import Literal, NamedTuple

from nmt.text.phrasebook_cast import (
    ANY_OWN,
    OBJECTS,
    Actor,
    Cast,
    Kind,
    TimeFrame,
    own_of,
    taking_up,
    weighted,
)
from nmt.text.phrasebook_clauses import Modal, Negation, Tense, VerbGroup, clause
from nmt.text.phrasebook_grammar import (
    BIT,
    NOTHING,
    PRONOUNS,
    NounPhrase,
    Phrase,
    Pronoun,
    agreement_bit,
    described,
    noun_phrase,
)
from nmt.text.phrasebook_lexicon import (
    ADJECTIVES,
    FIRST,
    FIRST_PLURAL,
    FREQUENCIES,
    NOUNS,
    VERBS,
    Adjective,
    Noun,
    Verb,
)

# Full events have adjectives, relative clauses, places and times; plain ones bare nouns and a time; brief ones hardly
# more than a verb. Two full events would make a sentence that a small model cannot keep in mind.
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
_STATES = tuple(adjective for adjective in ADJECTIVES.values() if adjective.predicative != "-")
_MOODS = "k"  # states that pass, unlike others
_UNGRADED = ("c", "ca")  # nothing is very red
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
    """A verb with what surrounds it, but for its subject; `time` may stand after the clause or before it."""

    group: VerbGroup
    obj: NounPhrase | Pronoun | None = None
    to: NounPhrase | Pronoun | None = None
    rest: Phrase = NOTHING
    time: Phrase = NOTHING


def tenses_of(verb: Verb) -> tuple[Tense, ...]:
    """List the tenses that suit it: "lived" and "had" are seldom passé composé."""
    if "no-past" not in verb.flags:
        return ("present", "past", "future")
    return ("present", "future") if verb is VERBS["have"] else ("present",)


@cache
def states_of(groups: str) -> tuple[Adjective, ...]:
    """List the adjectives that "to be" can give to a noun with these groups of adjectives."""
    return tuple(adjective for adjective in _STATES if any(group in groups for group in adjective.predicative))


def unsaid_states(actor: Actor, text: str) -> tuple[Adjective, ...]:
    """List what else an actor can be: not "the red car is blue", nor "small, but big"."""
    words = f"{actor.np.en} {text}".split()
    said = {ADJECTIVES[word].predicative for word in words if word in ADJECTIVES}
    return tuple(adjective for adjective in states_of(actor.adjectives) if adjective.predicative not in said)


def side_by_side(*phrases: Phrase) -> Phrase:
    """Join phrases with spaces."""
    words = [phrase for phrase in phrases if phrase.en]
    if len(words) < 2:
        return words[0] if words else NOTHING
    bits = 0
    for phrase in words:
        bits |= phrase.bits
    return Phrase(" ".join([phrase.en for phrase in words]), " ".join([phrase.fr for phrase in words]), bits)


def told(actor: Actor, event: Event, *, inverted: bool = False) -> Phrase:
    """Build the clause in which an actor takes part in an event."""
    rest = side_by_side(event.rest, event.time)
    return clause(actor.np, event.group, obj=event.obj, to=event.to, rest=rest, inverted=inverted)


class Events:
    """Draws actors and what they do.

    `free` allows "they" and "them" to mean anyone. `calm` asks for a plain present or future, as after "if" and "when".
    """

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    # --- Actors and their relative clauses ----------------------------------------------------------------------------

    def actor(self, *, free: bool = False, bare: bool = False) -> Actor:
        """Draw a subject, perhaps an animal, perhaps with a relative clause unless it shall be `bare`."""
        cast = self._cast
        if cast.chance(0.05):
            return cast.animal()
        actor = cast.person(free=free, plain=bare)
        if bare:
            return actor
        # A pronoun or a name takes no relative clause, nor does "my sister": there is no other to tell her from.
        if _takes_relative(actor.np) and cast.chance(0.26):
            relative = self._who(actor.np) if cast.chance(0.5) else self._whom(actor.np)
            return actor._replace(np=described(actor.np, relative))
        return actor

    def _who(self, head: NounPhrase) -> Phrase:
        relative = NounPhrase("who", "qui", head.column, head.agreement)
        actor = Actor(relative, "person", "", own_of(head), None)
        return told(actor, self.event(actor, self._cast.pick(_RELATIVE_TENSES), detail="brief"))

    def _whom(self, head: NounPhrase) -> Phrase:
        return self._gapped(head, self._cast.pick(_WHOM_VERBS), "whom")

    def that(self, head: NounPhrase, noun: Noun, main_tense: Tense = "present") -> Phrase:
        """Draw a relative clause whose object is a thing."""
        return self._gapped(head, self._cast.pick(RELATIVE_VERBS[noun.en]), "that", main_tense)

    def _gapped(self, head: NounPhrase, verb: Verb, pronoun: str, main_tense: Tense = "present") -> Phrase:
        tense = main_tense if main_tense == "past" else self._cast.pick(_RELATIVE_TENSES)
        if "no-past" in verb.flags:
            tense = "present"
        progressive = tense == "present" and "state" not in verb.flags
        subject = self._short_subject()
        said = clause(subject, VerbGroup(verb, tense, progressive), gap=head)
        return Phrase(f"{pronoun} {said.en}", f"que {said.fr}", said.bits)

    def _short_subject(self) -> NounPhrase:
        if self._cast.chance(0.4):
            return self._cast.pick(_TO_ONE).subject
        return self._cast.named()

    # --- Events -------------------------------------------------------------------------------------------------------

    def event(
        self,
        actor: Actor,
        tense: Tense,
        *,
        free: bool = False,
        detail: Detail = "full",
        calm: bool = False,
        denied: bool = True,
    ) -> Event:
        """Draw what an actor does, negative only if it may be `denied`."""
        cast = self._cast
        while True:
            if actor.kind == "animal":
                verbs = _BY_ANIMALS[cast.pick(_ANIMAL_FAMILIES)]
            else:
                verbs = _FAMILIES[cast.pick(_BRIEF_FAMILIES if detail == "brief" else _EVENT_FAMILIES)]
            if not verbs:
                continue
            verb = cast.pick(verbs)
            if tense in tenses_of(verb) and not (calm and verb is _READ):
                break
        group = self.group(verb, tense, calm=calm, denied=denied)
        event = self.fill(actor, group, free=free, detail=detail)
        if not isinstance(event.obj, Pronoun) and event.obj and event.obj.bits & BIT["relative_clause"]:
            return event._replace(rest=NOTHING)  # a place or time would join the relative clause
        time = self._time(event, calm=calm, detail=detail)
        return event._replace(time=time) if time.en else event

    def group(self, verb: Verb, tense: Tense, *, calm: bool = False, denied: bool = True) -> VerbGroup:
        """Draw the negation, adverb, aspect and modal verb of an event."""
        cast = self._cast
        negation = self._negation(verb, tense) if denied and not calm and cast.chance(0.16) else None
        if tense == "present" and not calm and "state" not in verb.flags:
            if cast.chance(0.3):
                return VerbGroup(verb, tense, negation=negation, modal=cast.pick(_MODALS))
            # "They read" is past and present alike, so the present of to read is always "are reading".
            if verb is _READ or (negation != "jamais" and cast.chance(0.6)):
                return VerbGroup(verb, tense, progressive=True, negation="pas" if negation == "jamais" else negation)
        frequency = ("", "")
        if negation is None and not calm and "no-past" not in verb.flags and cast.chance(0.06):
            frequency = cast.pick(_FREQUENCIES)
        return VerbGroup(verb, tense, negation=negation, frequency=frequency)

    def _negation(self, verb: Verb, tense: Tense) -> Negation:
        negation = self._cast.pick(_NEGATIONS)
        if negation == "jamais" or (negation == "plus" and tense != "past"):
            return "jamais" if negation == "jamais" else "plus"
        return "rien" if negation == "rien" and verb in THING_VERBS and verb is not VERBS["wear"] else "pas"

    def fill(self, actor: Actor, group: VerbGroup, *, free: bool, detail: Detail = "full") -> Event:
        """Draw the objects and the place of an event."""
        cast, verb = self._cast, group.verb
        if not verb.objects:
            return Event(group, rest=self._destination(verb, detail))
        obj = None if group.negation == "rien" else self._object(actor, group, free=free, detail=detail)
        if verb in RECIPIENT_VERBS:
            return Event(group, obj, to=self.recipient(actor))
        rest = NOTHING
        if verb in (VERBS["buy"], VERBS["choose"]) and cast.chance(0.2):
            person = self._other_person(actor)
            rest = Phrase(f"for {person.en}", f"pour {person.fr}", person.bits)
        elif detail == "full" and "state" not in verb.flags and cast.chance(0.65):
            rest = cast.spot()
        return Event(group, obj, rest=rest)

    def recipient(self, actor: Actor) -> NounPhrase | Pronoun:
        """Draw who is given, shown, sent or lent something."""
        if self._cast.chance(0.45):
            return self._pronoun(actor, _TO_ANY)
        return self._other_person(actor)

    def _other_person(self, actor: Actor) -> NounPhrase:
        while True:
            np = self._cast.other_person(actor.own)
            if np.en != actor.np.en:
                return np

    def _pronoun(self, actor: Actor, pronouns: tuple[Pronoun, ...]) -> Pronoun:
        mine = (FIRST, FIRST_PLURAL)
        while True:
            pronoun = self._cast.pick(pronouns)
            columns = (actor.np.column, pronoun.subject.column)
            # Not "I see me", "we see me", "you see you".
            if not (columns[0] in mine and columns[1] in mine) and actor.np != pronoun.subject:
                return pronoun

    def _object(self, actor: Actor, group: VerbGroup, *, free: bool, detail: Detail) -> NounPhrase | Pronoun:
        cast, verb = self._cast, group.verb
        if verb in HUMAN_VERBS and cast.chance(0.7 if detail == "brief" else 0.35):
            return self._pronoun(actor, _TO_ANY if free or "dative" in verb.flags else _TO_ONE)
        noun = cast.pick(OBJECTS[verb])
        if "person" in noun.traits or "kin" in noun.traits:
            return self._other_person(actor)
        np = cast.thing(noun, actor.own, single=verb in (VERBS["wear"], VERBS["have"]), plain=detail != "full")
        # Nor "showed a hat that Anne chose to her aunt".
        if group.negation or verb in RECIPIENT_VERBS or actor.np.en == "who" or not _takes_relative(np):
            return np
        if noun.en in RELATIVE_VERBS and detail == "full" and cast.chance(0.18):
            return described(np, self.that(np, noun, group.tense))
        return np

    # --- Places, times and states -------------------------------------------------------------------------------------

    def _destination(self, verb: Verb, detail: Detail) -> Phrase:
        cast = self._cast
        if detail == "brief" and verb not in (VERBS["live"], VERBS["go"]) and cast.chance(0.6):
            return NOTHING
        match f"{verb.en} {verb.particle}".rstrip():
            case "go":
                return cast.towards("to", "à")
            case "come back":
                return cast.towards("from", "de")
            case "arrive":
                return cast.towards("at", "à")
            case "leave":
                return cast.town("for", "pour")
            case "stay" | "live":
                return cast.spot()
        if "reflexive" in verb.flags or detail == "brief":
            return NOTHING
        return cast.spot() if cast.chance(0.85) else NOTHING

    def _time(self, event: Event, *, calm: bool, detail: Detail) -> Phrase:
        group, cast = event.group, self._cast
        frame: TimeFrame = "past" if group.tense == "past" else "future"
        if group.tense == "present" and not calm:
            frame = "future" if group.modal else "present" if group.progressive else "habit"
        if group.frequency[0]:
            return cast.clock() if cast.chance(0.7) and detail == "full" else NOTHING
        timeless = group.negation in ("jamais", "plus") or "no-past" in group.verb.flags
        if frame == "habit":
            timeless |= "state" in group.verb.flags or group.negation == "rien"
        return cast.time(frame) if cast.chance(0.0 if timeless else _TIMED[detail]) else NOTHING

    def state(self, actor: Actor, tense: Tense, *, but: Phrase = NOTHING) -> Phrase:
        """Draw what an actor is, "but" for what it was just said to be, or what it will be: nobody "will be young"."""
        suited = unsaid_states(actor, but.en)
        if tense == "future":
            passing = tuple(adjective for adjective in suited if adjective.predicative == _MOODS)
            tense, suited = ("future", passing) if passing else ("present", suited)
        denied = self._cast.chance(0.2)
        group = VerbGroup(_BE, tense, negation="pas" if denied else None)
        return clause(actor.np, group, rest=self._adjective(self._cast.pick(suited), actor))

    def _adjective(self, adjective: Adjective, actor: Actor) -> Phrase:
        agreement = actor.np.agreement
        bits, form = agreement_bit(adjective, agreement), adjective.forms[agreement]
        if adjective.predicative not in _UNGRADED and self._cast.chance(0.25):
            return Phrase(f"very {adjective.en}", f"très {form}", bits)
        return Phrase(adjective.en, form, bits)

    def subject_thing(self, nouns: tuple[Noun, ...]) -> Actor:
        """Draw a thing or place to describe, perhaps with a relative clause."""
        cast = self._cast
        noun = cast.pick(nouns)
        plural = cast.chance(0.2)
        determiner = cast.pick(ANY_OWN) if cast.chance(0.25) else "the"
        np = noun_phrase(noun, determiner, plural=plural)
        if noun.en in RELATIVE_VERBS and _takes_relative(np) and cast.chance(0.35):
            np = described(np, self.that(np, noun))
        kind: Kind = "thing"
        return Actor(np, kind, noun.adjectives, "the", taking_up(np, kind))


def _relative_verbs(noun: Noun) -> tuple[Verb, ...]:
    unfit = (VERBS["have"], VERBS["understand"])
    return tuple(verb for verb, nouns in OBJECTS.items() if noun in nouns and verb not in unfit)


def _takes_relative(np: NounPhrase) -> bool:
    return np.en.startswith(("the ", "a ", "an ", "some ", "these ")) and "'" not in np.en


RELATIVE_VERBS = {noun.en: verbs for noun in NOUNS.values() if (verbs := _relative_verbs(noun))}
