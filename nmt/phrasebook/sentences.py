"""Sentences, chosen at random: statements of one event or two, with subordinate clauses, questions, and facts."""

import random
from typing import Literal

from nmt.phrasebook.chooser import Chooser, weighted
from nmt.phrasebook.clauses import Tense, VerbGroup, clause
from nmt.phrasebook.events import (
    RECIPIENT_VERBS,
    RELATIVE_VERBS,
    THING_VERBS,
    Detail,
    Event,
    Events,
    event_clause,
    other_states,
    tenses_of,
)
from nmt.phrasebook.lexicon import (
    CITIES,
    COUNTED_NOUNS,
    NOUNS,
    THIRD,
    THIRD_PLURAL,
    VERBS,
    WEATHER,
    nouns_with,
    verbs_for,
)
from nmt.phrasebook.noun_phrases import NounPhrase, counted, noun_phrase, omitted
from nmt.phrasebook.participants import Actor, pronoun_for
from nmt.phrasebook.phrases import BIT, NOTHING, Phrase, after, linked, sentence

_SENTENCES = weighted(single=46, question=10, coordinated=7, subordinate=19, reported=13, fact=3, state=2)
_TENSES = weighted(past=44, present=29, future=27)
_QUESTIONS = weighted(polar=46, where=13, when=6, why=11, who=14, what=5, which=5)
_COORDINATIONS = weighted(ellipsis=38, two=6, chain=26, states=30)
_SUBORDINATIONS = weighted(because=68, when=9, conditional=23)
_REPORTS = weighted(say=3, think=4, know_that=3, hope=3, question=2)
_FACTS = weighted(price=60, age=20, inhabitants=20)

_DESCRIBED = nouns_with("goods", "place", "openable", "clothes")
_PRICED = nouns_with("goods", "food")
_DEAR = (NOUNS["car"],)
_CHEAP = (*nouns_with("food"), NOUNS["flower"], NOUNS["newspaper"])
_CITIES = tuple(CITIES.items())
_HAVE = VerbGroup(VERBS["have"])
_COUNTABLE = nouns_with("goods", "food", "portable")
_ASKED_WHERE = tuple(
    VERBS[en] for en in ("work", "live", "sleep", "go", "stay", "dance", "play", "buy", "find", "lose", "meet")
)
_ASKED_WHERE_ANIMALS = tuple(VERBS[en] for en in ("sleep", "eat", "play"))
_WEATHER = {tense: tuple(weather.items()) for tense, weather in WEATHER.items()}
_INFORMATIVE = (("where", "où"), ("why", "pourquoi"), ("when", "quand"))
# What is done to a thing first and second: nobody buys a cake after eating it.
_FIRST = tuple(VERBS[en] for en in ("buy", "find", "choose", "take"))
_THEN = tuple(VERBS[en] for en in ("eat", "drink", "read", "wear", "sell", "forget", "lose", "give", "show"))
_CHAINS = tuple(
    (noun, first, second)
    for noun in NOUNS.values()
    for first in verbs_for(noun)
    for second in verbs_for(noun)
    if first in _FIRST and second in _THEN and "animal" not in noun.traits
)
_BECAUSE: tuple[tuple[Tense, Tense], ...] = (
    ("past", "past"),
    ("past", "past"),
    ("present", "past"),
    ("present", "present"),
    ("future", "present"),
    ("future", "future"),
)


class Sentences:
    """Chooses sentences, one after the other, with a generator of random numbers."""

    def __init__(self, rng: random.Random) -> None:
        self._chooser = Chooser(rng)
        self._events = Events(self._chooser)
        self._participants = self._events.participants

    def sentence(self) -> Phrase:
        """Choose a sentence of any kind."""
        match self._chooser.pick(_SENTENCES):
            case "question":
                return self._question()
            case "coordinated":
                return sentence(self._coordinated())
            case "subordinate":
                return sentence(self._subordinate())
            case "reported":
                return sentence(self._reported())
            case "fact":
                return sentence(self._fact())
            case "state":
                return sentence(self._one_state()[1])
        return sentence(self._single())

    # --- Parts --------------------------------------------------------------------------------------------------------

    def _tense(self) -> Tense:
        tense = self._chooser.pick(_TENSES)
        return "past" if tense == "past" else "future" if tense == "future" else "present"

    def _state_tense(self) -> Tense:
        return "future" if self._chooser.chance(0.2) else "present"

    def _described(self) -> Actor:
        if self._chooser.chance(0.6):
            return self._events.subject_thing(_DESCRIBED)
        return self._events.actor(free=True)

    def _statement(self, actor: Actor, event: Event) -> Phrase:
        """State an event, sometimes with its time in front."""
        time = event.time
        if time.en and self._chooser.chance(0.25):
            rest = event_clause(actor, event._replace(time=NOTHING))
            return Phrase(f"{time.en}, {rest.en}", f"{time.fr}, {rest.fr}", rest.bits | time.bits)
        return event_clause(actor, event)

    # --- Statements ---------------------------------------------------------------------------------------------------

    def _single(self) -> Phrase:
        actor = self._events.actor(free=True)
        return self._statement(actor, self._events.event(actor, self._tense(), free=True))

    def _coordinated(self) -> Phrase:
        kind = self._chooser.pick(_COORDINATIONS)
        if kind == "chain":
            return self._chain()
        if kind == "states":
            return self._two_states()
        tense = self._tense()
        detail: Detail = "full" if kind == "two" else "plain"  # the longest sentences of all
        first_actor = self._events.actor(free=True, bare=kind != "two")
        first = self._events.event(first_actor, tense, free=True, detail=detail)
        if kind == "ellipsis" and first_actor.np.person in (THIRD, THIRD_PLURAL):
            actor = first_actor._replace(np=omitted(first_actor.np))
        else:
            actor = self._events.actor(bare=True)
        second = self._events.event(actor, tense, detail="full" if kind == "two" else "brief")
        contrast = (first.group.negation is None) != (second.group.negation is None)
        en, fr = (", but", ", mais") if contrast else (" and", " et")
        return linked(self._statement(first_actor, first), en, fr, event_clause(actor, second), "coordination")

    def _chain(self) -> Phrase:
        """Choose two things that are done to one object, which is "it" or "them" in the second clause."""
        chooser = self._chooser
        noun, first_verb, verb = chooser.pick(_CHAINS)
        tense: Tense = "past" if chooser.chance(0.6) else "future"
        first_actor = self._participants.person(free=True)
        np = self._participants.thing(noun, first_actor.possessive, single=verb is VERBS["wear"])
        first = self._events.fill(first_actor, VerbGroup(first_verb, tense), free=False)._replace(obj=np)
        negated = chooser.chance(0.3)
        if negated and chooser.chance(0.5):
            actor = self._participants.person()
        elif first_actor.np.person in (THIRD, THIRD_PLURAL):
            actor = first_actor._replace(np=omitted(first_actor.np))
        else:
            actor = first_actor
        group = VerbGroup(verb, tense, negation="pas" if negated else None)
        to = self._events.recipient(actor) if verb in RECIPIENT_VERBS else None
        second = clause(actor.np, group, obj=pronoun_for(np, "thing"), to=to)
        en, fr = (", but", ", mais") if negated else (" and", " et")
        return linked(event_clause(first_actor, first), en, fr, second, "coordination")

    def _one_state(self) -> tuple[Actor, Phrase]:
        """Choose somebody or something, and what it is."""
        while True:
            actor = self._described()
            if other_states(actor, ""):
                return actor, self._events.state(actor, self._state_tense())

    def _two_states(self) -> Phrase:
        actor, first = self._one_state()
        if actor.pronoun is None or not other_states(actor, first.en):
            return first
        again = actor._replace(np=actor.pronoun.subject)
        return linked(
            first, ", but", ", mais", self._events.state(again, self._state_tense(), but=first), "coordination"
        )

    # --- Subordinate clauses ------------------------------------------------------------------------------------------

    def _subordinate(self) -> Phrase:
        kind = self._chooser.pick(_SUBORDINATIONS)
        if kind == "because":
            return self._because()
        future = kind == "conditional" or self._chooser.chance(0.6)
        fronted = self._chooser.chance(0.5)
        first_actor = self._events.actor(free=True, bare=True)
        if kind == "conditional" and self._chooser.chance(0.75):
            main = self._events.event(first_actor, "future", free=True, detail="plain")
            return self._weather("if", "si", event_clause(first_actor, main), fronted=fronted)
        second_actor = self._events.next_actor(first_actor, 0.6)
        doer, other = (second_actor, first_actor) if fronted else (first_actor, second_actor)
        main = self._events.event(doer, "future" if future else "past", free=not fronted, detail="plain")
        inner = self._events.event(
            other, ("present" if kind == "conditional" else "future") if future else "past", detail="brief", simple=True
        )
        en, fr = ("if", "si") if kind == "conditional" else ("when", "quand")
        group = inner.group._replace(after_when=kind == "when" and future)
        inner = inner._replace(group=group, time=NOTHING if main.time.en else inner.time)
        condition = after(en, fr, event_clause(other, inner))
        if fronted:
            return linked(condition, ",", ",", event_clause(doer, main), "subordinate_clause")
        return linked(event_clause(doer, main), "", "", condition, "subordinate_clause")

    def _because(self) -> Phrase:
        tense, why_tense = self._chooser.pick(_BECAUSE)
        actor = self._events.actor(free=True, bare=True)
        event = self._events.event(actor, tense, free=True, detail="plain")
        why_actor = self._events.next_actor(actor, 0.6)
        in_mood = why_actor._replace(adjectives="k")  # "because he is tired"
        if self._chooser.chance(0.66):
            weather: Literal["past", "present"] = "past" if tense == "past" else "present"
            return self._weather("because", "parce que", self._statement(actor, event), fronted=False, tense=weather)
        if tense != "past" and why_actor.kind == "person" and other_states(in_mood, "") and self._chooser.chance(0.75):
            why = self._events.state(in_mood, "present")
        else:
            why = event_clause(why_actor, self._events.event(why_actor, why_tense, detail="brief"))
        return linked(self._statement(actor, event), " because", " parce que", why, "subordinate_clause")

    def _weather(
        self, en: str, fr: str, main: Phrase, *, fronted: bool, tense: Literal["past", "present"] = "present"
    ) -> Phrase:
        bits = BIT["present"] if tense == "present" else 0
        weather = after(en, fr, Phrase(*self._chooser.pick(_WEATHER[tense]), bits))
        if fronted:
            return linked(weather, ",", ",", main, "subordinate_clause")
        return linked(main, "", "", weather, "subordinate_clause")

    def _reported(self) -> Phrase:
        chooser, kind = self._chooser, self._chooser.pick(_REPORTS)
        speaker = self._participants.person(free=True, plain=True)
        actor = self._events.next_actor(speaker, 0.45)
        if kind == "question":
            word, fr = chooser.pick(_INFORMATIVE)
            asked = after(word, fr, event_clause(actor, self._asked(actor, word)))
            group = VerbGroup(VERBS["know that"], negation="pas")
        else:
            tense: Tense = "future" if kind == "hope" else self._tense()
            asked = after("that", "que", event_clause(actor, self._events.event(actor, tense, detail="plain")))
            group = VerbGroup(VERBS[kind])
        asked = asked._replace(bits=asked.bits | BIT["subordinate_clause"])
        return clause(speaker.np, group, rest=asked)

    # --- Questions ----------------------------------------------------------------------------------------------------

    def _question(self) -> Phrase:
        kind = self._chooser.pick(_QUESTIONS)
        if kind == "who":
            who = Actor(NounPhrase("who", "qui"), "person", "", "his", None)
            asked = event_clause(who, self._events.event(who, self._tense(), free=True, negatable=False))
        elif kind == "polar":
            actor = self._events.actor(free=True)
            event = self._events.event(actor, self._tense(), free=True, negatable=False)
            asked = after("", "est-ce que", event_clause(actor, event, inverted=True))
        elif kind in ("where", "when", "why"):
            actor = self._events.actor(free=True)
            fr = {"where": "où", "when": "quand", "why": "pourquoi"}[kind]
            asked = after(kind, f"{fr} est-ce que", event_clause(actor, self._asked(actor, kind), inverted=True))
        elif kind == "what":
            asked = self._what()
        else:
            asked = self._which()
        asked = Phrase(asked.en.strip(), asked.fr, asked.bits | BIT["question"])
        return sentence(asked, "?")

    def _asked(self, actor: Actor, word: str) -> Event:
        """Choose an event without its place or time, if the question asks for that."""
        tense = self._tense()
        if word == "where":
            verb = self._chooser.pick(_ASKED_WHERE if actor.kind == "person" else _ASKED_WHERE_ANIMALS)
            tense = tense if tense in tenses_of(verb) else "present"
            group = self._events.group(verb, tense, negatable=False)
            event = self._events.fill(actor, group, free=False)._replace(rest=NOTHING)
        else:
            if word == "when" and tense == "present":
                tense = "past"
            event = self._events.event(actor, tense, negatable=word == "why")
            if word != "why":
                event = event._replace(group=event.group._replace(frequency=("", "")), time=NOTHING)
        if isinstance(event.obj, NounPhrase) and not event.group.negation:
            event = event._replace(obj=event.obj._replace(en_any=event.obj.en))  # "why" keeps "some"
        return event

    def _what(self) -> Phrase:
        verb, tense = self._chooser.pick(THING_VERBS), self._tense()
        if tense not in tenses_of(verb):
            tense = tenses_of(verb)[0]
        actor = self._events.actor(free=True)
        group = self._events.group(verb, tense, negatable=False)
        return after("what", "que est-ce que", clause(actor.np, group, inverted=True))

    def _which(self) -> Phrase:
        noun, tense = self._chooser.pick(_COUNTABLE), self._tense()
        np = noun_phrase(noun, "which", plural=self._chooser.chance(0.3))
        verb = self._chooser.pick(RELATIVE_VERBS[noun.en])
        actor = self._events.actor(free=True)
        group = self._events.group(verb, tense, negatable=False)
        asked = clause(actor.np, group, fronted=np, inverted=True)
        return after(np.en, f"{np.fr} est-ce que", asked)

    # --- Facts with numbers -------------------------------------------------------------------------------------------

    def _fact(self) -> Phrase:
        chooser = self._chooser
        match chooser.pick(_FACTS):
            case "price":
                noun = chooser.pick(_PRICED)
                low, high = (2, 20) if noun in _CHEAP else (2000, 999_999) if noun in _DEAR else (10, 900)
                price = counted(COUNTED_NOUNS["euro"], chooser.number(low, high))
                cost = VerbGroup(VERBS["cost"], self._state_tense())
                return clause(self._participants.thing(noun, "my", single=True), cost, obj=price)
            case "inhabitants":
                inhabitants = counted(COUNTED_NOUNS["inhabitant"], chooser.number(1000, 999_999))
                city, ville = chooser.pick(_CITIES)
                return clause(NounPhrase(city, ville), _HAVE, obj=inhabitants)
        return self._age()

    def _age(self) -> Phrase:
        """Choose an age: "is ten years old", "a dix ans"."""
        actor, tense = self._events.actor(free=True), self._state_tense()
        small = "s" in actor.adjectives  # children and animals
        years = counted(COUNTED_NOUNS["year"], self._chooser.number(2, 15) if small else self._chooser.number(30, 100))
        english = clause(actor.np, VerbGroup(VERBS["be"], tense), rest=Phrase(f"{years.en} old", "", years.bits))
        return english._replace(fr=clause(actor.np, _HAVE._replace(tense=tense), obj=years).fr)
