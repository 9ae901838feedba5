"""Long sentences, chosen at random: long subjects, lists of events, and clauses whose order differs in French.

Their words move over a distance. French has the time and the subordinate clause of a sentence at its end, even if they
come first in English, reads owners backwards ("my brother's doctor's car", "la voiture du médecin de mon frère"), and
places the object of "whose" after its verb ("the man whose car Marie sold", "l'homme dont Marie a vendu la voiture").
"""

import random
from typing import Literal

from nmt.phrasebook.chooser import Chooser, weighted
from nmt.phrasebook.clauses import Tense, VerbGroup, clause
from nmt.phrasebook.events import Event, Events, event_clause, takes_relative
from nmt.phrasebook.lexicon import OBJECTS, THIRD, THIRD_PLURAL, VERBS, WEATHER, nouns_with
from nmt.phrasebook.noun_phrases import NounPhrase, noun_phrase, omitted, owned, with_relative_clause
from nmt.phrasebook.participants import Actor, possessive_of, pronoun_for
from nmt.phrasebook.phrases import BIT, NOTHING, Phrase, after, linked, sentence

_SENTENCES = weighted(list=28, contrast=16, subordinate=26, reported=16, single=8, question=6)
_TENSES = weighted(past=50, present=22, future=28)
_SUBJECTS = weighted(short=50, relative=32, kin=18)
_RELATIVES = weighted(who=35, whom=25, whose_kin=20, whose_thing=20)
_SUBORDINATIONS = weighted(because=55, when=22, **{"if": 23})
_REPORTED = weighted(list=40, contrast=25, single=35)
_REPORTS = weighted(say=30, think=30, know_that=20, hope=20)
_KIN = nouns_with("kin")
_OWNED_VERBS = tuple(VERBS[en] for en in ("sell", "wash", "take", "lose", "find", "choose", "forget"))
_OWNED = {
    verb: tuple(noun for noun in OBJECTS[verb] if noun in nouns_with("goods", "clothes", "portable", "pet"))
    for verb in _OWNED_VERBS
}
_WEATHER = {tense: tuple(weather.items()) for tense, weather in WEATHER.items()}


class LongSentences:
    """Chooses sentences, one after the other, with a generator of random numbers."""

    def __init__(self, rng: random.Random) -> None:
        self._chooser = Chooser(rng)
        self._events = Events(self._chooser)
        self._participants = self._events.participants

    def sentence(self) -> Phrase:
        """Choose a sentence of any kind."""
        match self._chooser.pick(_SENTENCES):
            case "subordinate":
                return sentence(self._subordinate())
            case "reported":
                return sentence(self._reported())
            case "question":
                return sentence(self._question(), "?")
            case kind:
                return sentence(self._statement(kind, self._tense(), free=True))

    def _tense(self) -> Tense:
        tense = self._chooser.pick(_TENSES)
        return "past" if tense == "past" else "future" if tense == "future" else "present"

    # --- Subjects -----------------------------------------------------------------------------------------------------

    def _subject(self, *, free: bool = False) -> Actor:
        """Choose who does something, often by a long phrase; `free` allows "they" for anyone."""
        match self._chooser.pick(_SUBJECTS):
            case "relative":
                actor = self._participants.someone()
                if takes_relative(actor.np):
                    return actor._replace(np=with_relative_clause(actor.np, self._relative(actor.np)))
                return actor
            case "kin":
                return self._participants.kin_of_kin()
        return self._events.actor(free=free, bare=True)

    def _relative(self, head: NounPhrase) -> Phrase:
        match self._chooser.pick(_RELATIVES):
            case "who":
                return self._events.who(head)
            case "whom":
                return self._events.whom(head)
            case "whose kin":
                return self._whose_kin()
        return self._whose_thing()

    def _whose_kin(self) -> Phrase:
        """Choose what a relative of the head does: "whose sister works in Paris"."""
        noun = self._chooser.pick(_KIN)
        np = noun_phrase(noun)
        whose = np._replace(en=f"whose {noun.en}", fr=f"dont {np.fr}")
        actor = Actor(whose, "person", "", possessive_of(whose), pronoun_for(whose, "person"))
        return event_clause(actor, self._events.event(actor, self._tense(), detail="brief"))

    def _whose_thing(self) -> Phrase:
        """Choose what is done to a thing of the head: "whose car Marie sold", "dont Marie a vendu la voiture"."""
        verb = self._chooser.pick(_OWNED_VERBS)
        noun = self._chooser.pick(_OWNED[verb])
        subject = self._participants.named()
        group = VerbGroup(verb, "past" if self._chooser.chance(0.6) else "future")
        french = clause(subject, group, obj=noun_phrase(noun))
        return french._replace(en=f"whose {noun.en} {clause(subject, group).en}", fr=f"dont {french.fr}")

    # --- Statements ---------------------------------------------------------------------------------------------------

    def _statement(self, kind: str, tense: Tense, *, free: bool = False) -> Phrase:
        match kind:
            case "list":
                return self._list("past" if tense == "present" else tense, free=free)
            case "contrast":
                return self._contrast(tense, free=free)
        actor = self._subject(free=free)
        return self._with_time(actor, self._event(actor, tense, free=free))

    def _event(self, actor: Actor, tense: Tense, *, free: bool = False) -> Event:
        """Choose a detailed event, whose object is sometimes what somebody's relative owns."""
        event = self._events.event(actor, tense, free=free)
        verb = event.group.verb
        if verb in _OWNED_VERBS and isinstance(event.obj, NounPhrase) and self._chooser.chance(0.5):
            return event._replace(obj=owned(self._chooser.pick(_OWNED[verb]), self._participants.kin_of_kin().np))
        return event

    def _with_time(self, actor: Actor, event: Event) -> Phrase:
        """Build a clause with its time, which ends the French one, but may begin the English one."""
        statement = event_clause(actor, event)
        if event.time.en and self._chooser.chance(0.5):
            return _with_time_first(event.time, event_clause(actor, event._replace(time=NOTHING)), statement.fr)
        return statement

    def _list(self, tense: Tense, *, free: bool) -> Phrase:
        """Choose two or three things that somebody does, all at one time."""
        actor = self._subject(free=free)
        is_third = actor.np.person in (THIRD, THIRD_PLURAL)
        again = actor._replace(np=omitted(actor.np)) if is_third else actor
        first = self._event(actor, tense, free=free)
        last = self._another(again, tense, first)
        listed = event_clause(actor, first._replace(time=NOTHING))
        if self._chooser.chance(0.4):
            between = self._another(again, tense, first, last)._replace(time=NOTHING)
            listed = linked(listed, ",", ",", event_clause(again, between), "coordination")
        whole = linked(listed, " and", " et", event_clause(again, last), "coordination")
        if last.time.en and self._chooser.chance(0.5):
            end = event_clause(again, last._replace(time=NOTHING))
            return _with_time_first(last.time, linked(listed, " and", " et", end, "coordination"), whole.fr)
        return whole

    def _another(self, actor: Actor, tense: Tense, *others: Event) -> Event:
        """Choose what somebody does besides other things."""
        verbs = [other.group.verb for other in others]
        while True:
            event = self._events.event(actor, tense, detail="plain", negatable=False)
            if event.group.verb not in verbs:
                return event

    def _contrast(self, tense: Tense, *, free: bool) -> Phrase:
        actor = self._subject(free=free)
        first = self._with_time(actor, self._event(actor, tense, free=free))
        other = self._events.next_actor(actor, 0.6)
        return linked(first, ", but", ", mais", self._with_time(other, self._event(other, tense)), "coordination")

    # --- Subordinate clauses and questions ----------------------------------------------------------------------------

    def _subordinate(self) -> Phrase:
        """Choose a main and a subordinate clause, which ends the French sentence, but may begin the English one."""
        chooser = self._chooser
        kind, is_first = chooser.pick(_SUBORDINATIONS), chooser.chance(0.5)
        tense: Tense = "future" if kind == "if" or (kind == "when" and chooser.chance(0.5)) else "past"
        actor = self._subject(free=not is_first)
        main = event_clause(actor, self._event(actor, tense, free=not is_first)._replace(time=NOTHING))
        match kind:
            case "if":
                condition = after("if", "si", self._weather("present"))
            case "when":
                condition = after("when", "quand", self._moment(tense))
            case _:
                condition = after("because", "parce que", self._reason())
        joined = linked(main, "", "", condition, "subordinate_clause")
        return joined._replace(en=f"{condition.en}, {main.en}") if is_first else joined

    def _weather(self, tense: Literal["past", "present"]) -> Phrase:
        return Phrase(*self._chooser.pick(_WEATHER[tense]), BIT["present"] if tense == "present" else 0)

    def _moment(self, tense: Tense) -> Phrase:
        actor = self._subject()
        event = self._events.event(actor, tense, detail="brief", simple=True)._replace(time=NOTHING)
        return event_clause(actor, event._replace(group=event.group._replace(after_when=tense == "future")))

    def _reason(self) -> Phrase:
        if self._chooser.chance(0.4):
            return self._weather("past")
        actor = self._subject()
        return event_clause(actor, self._events.event(actor, "past", detail="plain")._replace(time=NOTHING))

    def _reported(self) -> Phrase:
        """Choose what somebody says, thinks, knows or hopes."""
        kind = self._chooser.pick(_REPORTS)
        speaker = self._subject(free=True)
        told = self._statement(self._chooser.pick(_REPORTED), "future" if kind == "hope" else self._tense())
        told = told._replace(bits=told.bits | BIT["subordinate_clause"])
        return clause(speaker.np, VerbGroup(VERBS[kind]), rest=after("that", "que", told))

    def _question(self) -> Phrase:
        """Ask whether somebody does something: "Did the man whose car Marie sold find the keys?"."""
        actor = self._subject(free=True)
        event = self._events.event(actor, self._tense(), free=True, negatable=False)
        asked = after("", "est-ce que", event_clause(actor, event, inverted=True))
        return Phrase(asked.en.strip(), asked.fr, asked.bits | BIT["question"])


def _with_time_first(time: Phrase, en: Phrase, fr: str) -> Phrase:
    """Put the time before the English `en` without it; the French `fr` contains it already."""
    return Phrase(f"{time.en}, {en.en}", fr, en.bits | time.bits)
