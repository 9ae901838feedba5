"""The phrasebook: an English-French corpus generated from a grammar, for training a first model without a download.

It is correct French of some difficulty: words change their order, agree, elide and contract. The English determines the
French, so that a perfect translation exists, and each pair is labelled with the phenomena that it exhibits, so that
scores can be reported by phenomenon.

The grammar is synchronous: each function builds a phrase in both languages at once. Read the modules in this order:

    lexicon        nouns, adjectives and verbs with their forms, as tables
    numerals       numbers, dates and times of day in words
    phrases        a phrase in both languages; elision and contraction
    noun_phrases   determiner, adjectives and noun; pronouns; owners
    clauses        verb, auxiliary, negation, object pronouns, agreement
    chooser        random choices
    participants   who and what
    circumstances  where and when
    events         what an actor does or is
    sentences      statements, subordinate clauses, questions, facts
    long_sentences the sentences of data=phrasebook_long
    pairs          distinct sentence pairs of one split
    files          the corpus on disk

To add a verb, add a line to the table of `lexicon`: its traits of objects say which nouns it takes, and if it has
objects, nothing else is needed; a verb without objects joins a family in `events`. To add a type of sentence, add a
method to `Sentences`, and its name and weight to the table of `_SENTENCES`. Every such change yields another corpus for
the same seed: raise `GENERATOR_VERSION` in `pairs`, and update the checksum in its test.
"""
