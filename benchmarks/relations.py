"""Questions that only the graph can lead to: who is whose sister, who cares for whom now, the one who repairs bikes.

One person tells an assistant about others. Each question names somebody by a relation or a description, and what
answers it names that person alone, among others of whom much the same is said. Asked with the graph, and without it.

Of those who are described, no text says what the question says of them, and no relation has a word of it: only the
embedding of an entity leads from the one who mends teeth to a dentist. They are asked with it and without it, too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from benchmarks.ground import Ground, show
from keepwell import Memory, Message

DAY = dt.datetime(2025, 1, 6, 9, tzinfo=dt.UTC)
LINKS: tuple[tuple[str, str, str, str | None, str | None], ...] = (
    ("Priya", "sister of", "Ada", None, None),
    ("Tom", "married to", "Priya", None, None),
    ("Lena", "daughter of", "Priya", None, None),
    ("Oskar", "dog of", "Lena", None, None),
    ("Nils", "carer of", "Ada", "2023-01-01", "2025-03-31"),
    ("Mira", "carer of", "Ada", "2025-04-01", None),
    ("Jonas", "manager of", "Ada", None, None),
    ("Farid", "neighbour of", "Ada", None, None),
    ("Adaeze", "dentist of", "Ada", None, None),
    ("Ines", "colleague of", "Jonas", None, None),
)
"""What a model, or a person, notes as relations, and from when to when they held."""
SAID = (
    "Priya moved to York in the spring.",
    "Ines moved to Bath, closer to the office.",
    "Sven moved to Hull after the summer.",
    "Tom is training for a marathon.",
    "Paulo is training for a triathlon.",
    "Wanda is training for a bike race.",
    "Lena collects stamps from South America.",
    "Hugo collects old coins.",
    "Clara collects postcards of lighthouses.",
    "Oskar is afraid of thunder.",
    "Rex is afraid of the vacuum cleaner.",
    "Nils always arrived by tram.",
    "Mira always arrives by bicycle.",
    "Sven always arrives late.",
    "Nils cooks very spicy lentils.",
    "Mira cooks mild soups with barley.",
    "Paulo cooks fish on Fridays.",
    "Jonas wants the report on Thursday.",
    "Wanda wants the slides on Monday.",
    "Clara wants the keys back.",
    "Farid plays the trumpet in the evening.",
    "Hugo plays the drums in a cellar.",
    "Sven plays the violin badly.",
    "Adaeze has her practice on Mill Road.",
    "Wanda has her studio on Elm Street.",
    "Paulo has his shop on Bridge Street.",
    "Ines is expecting twins in June.",
    "Clara is expecting a parcel from Oslo.",
    "An old friend, Ravi, repairs bikes in the market hall.",
    "Ravi is allergic to walnuts.",
    "Hugo is allergic to cats.",
    "Clara is allergic to pollen.",
    "Greta teaches Portuguese on Tuesdays.",
    "Greta drives a green van.",
    "Sven drives a red estate car.",
    "Hugo drives his father's taxi.",
    "The kettle was replaced last week.",
    "The library closes at six on Saturdays.",
    "I slept badly because of the heat.",
    "The garden needs water every evening.",
)
QUESTIONS: tuple[tuple[str, str], ...] = (
    ("Where does my sister live?", "Priya moved"),
    ("Which town did Ada's sister move to?", "Priya moved"),
    ("What sport is my sister's husband training for?", "Tom is"),
    ("What does my sister's daughter collect?", "Lena collects"),
    ("What does the daughter of Priya collect?", "Lena collects"),
    ("What is Lena's dog afraid of?", "Oskar is"),
    ("Who is my carer now and how do they arrive?", "Mira always"),
    ("How does my carer arrive these days?", "Mira always"),
    ("How did my previous carer arrive?", "Nils always"),
    ("What did my former carer cook?", "Nils cooks"),
    ("What does my carer cook?", "Mira cooks"),
    ("Who was my carer before, and what was cooked?", "Nils cooks"),
    ("When does my manager want something?", "Jonas wants"),
    ("On which day does Ada's manager want it?", "Jonas wants"),
    ("Which instrument does my neighbour play?", "Farid plays"),
    ("What does Ada's neighbour play in the evening?", "Farid plays"),
    ("On which street is my dentist?", "Adaeze has"),
    ("Where is Ada's dentist?", "Adaeze has"),
    ("What is a colleague of my manager expecting?", "Ines is"),
    ("What is Jonas's colleague expecting?", "Ines is"),
    ("What is the one who repairs bikes allergic to?", "Ravi is"),
    ("Which allergy does the man who repairs bikes have?", "Ravi is"),
    ("What does the person who teaches Portuguese drive?", "Greta drives"),
    ("Which car has the woman who teaches Portuguese?", "Greta drives"),
    ("What did I say about Priya?", "Priya moved"),
    ("What did I tell about Ravi and walnuts?", "Ravi is"),
)
ROLES: tuple[tuple[str, str, str], ...] = (
    ("Otto", "plumber of", "Ada"),
    ("Greta", "landlady of", "Ada"),
    ("Wanda", "accountant of", "Ada"),
    ("Paulo", "physiotherapist of", "Ada"),
    ("Clara", "lawyer of", "Ada"),
    ("Hugo", "hairdresser of", "Ada"),
)
"""What is noted besides for the questions that describe somebody."""
SAID_BESIDES = (
    "Otto prefers mint tea.",
    "Sven prefers black coffee.",
    "Ines prefers hot chocolate.",
    "Otto was born in Riga.",
    "Ravi was born in Delhi.",
    "Nils was born in Bergen.",
)
DESCRIBED: tuple[tuple[str, str], ...] = (
    ("On which street is the one who fixes my teeth?", "Adaeze has"),
    ("Where is the person who mends teeth?", "Adaeze has"),
    ("On which day does the person who supervises my work want something?", "Jonas wants"),
    ("What does the one who is my boss want?", "Jonas wants"),
    ("Where was the man who repairs the pipes born?", "Otto was"),
    ("What does the guy who repairs leaking pipes prefer?", "Otto prefers"),
    ("What does the woman who rents me the flat drive?", "Greta drives"),
    ("What does the one who prepares my taxes want?", "Wanda wants"),
    ("On which street is the woman who audits my books?", "Wanda has"),
    ("What does the man who massages my back cook?", "Paulo cooks"),
    ("What does the one who sues people for me collect?", "Clara collects"),
    ("What does the man who cuts my hair collect?", "Hugo collects"),
    ("Which instrument plays the guy who lives next door?", "Farid plays"),
    ("How does the person who nurses me arrive?", "Mira always"),
)
"""Of whom the question says something that nobody said, in words that no relation has."""
DEPTH = 3


@dataclass(frozen=True, slots=True)
class Found:
    """How many questions have what answers them first, and among the first three."""

    first: int
    among: int
    missed: tuple[str, ...]


def relations(ground: Ground) -> None:
    """Ask every question with the graph and without it."""
    rows = []
    for graph in ("none", "record"):
        with Memory.open(ground.dsn, tenant=f"relations-{graph}", graph=graph) as memory:
            told(memory, graph=graph == "record")
            found = ask(memory)
        rows.append(_row(f"graph={graph!r}", found, len(QUESTIONS)))
    show("questions that name somebody by a relation", rows)
    described(ground)


def described(ground: Ground) -> None:
    """Ask the questions that describe somebody: without the graph, with it but no embeddings, and with both."""
    rows = []
    for graph in ("none", "record"):
        with Memory.open(ground.dsn, tenant=f"described-{graph}", graph=graph) as memory:
            told(memory, graph=graph == "record", besides=True)
            if graph == "record":
                with psycopg.connect(ground.admin_dsn, autocommit=True) as admin:
                    admin.execute("delete from keepwell.entity_vector where tenant = %s", [memory.tenant])
                rows.append(_row("graph='record', no embeddings", ask(memory, DESCRIBED), len(DESCRIBED)))
                memory.reembed()
            rows.append(_row(f"graph={graph!r}", ask(memory, DESCRIBED), len(DESCRIBED)))
    show("questions that describe somebody", rows)


def _row(label: str, found: Found, of: int) -> tuple[str, str, str]:
    return label, f"first {found.first} of {of}, among {DEPTH}: {found.among} of {of}", ""


def told(memory: Memory, *, graph: bool, besides: bool = False) -> None:
    """Tell everything, a message a day, and note the relations; ``besides``: of those who are described, too."""
    ada = memory.scope(user_id="ada")
    if graph:
        for subject, predicate, thing, since, until in LINKS:
            ada.graph.link(subject, predicate, thing, valid_from=_day(since), valid_to=_day(until))
        for subject, predicate, thing in ROLES if besides else ():
            ada.graph.link(subject, predicate, thing)
    said = (*SAID, *SAID_BESIDES) if besides else SAID
    days = (DAY + dt.timedelta(days=n) for n in range(len(said)))
    ada.thread("told").append(
        *(Message.user(text, created_at=day) for text, day in zip(said, days, strict=True)),
    )
    memory.drain()


def ask(memory: Memory, questions: Sequence[tuple[str, str]] = QUESTIONS) -> Found:
    """Count how many questions find what answers them."""
    first = among = 0
    missed = []
    ada = memory.scope(user_id="ada")
    for question, answer in questions:
        texts = [found.text for found in ada.recall(question, limit=DEPTH, neighbours=0)]
        places = [at for at, text in enumerate(texts) if text.startswith(answer)]
        first, among = first + (0 in places), among + bool(places)
        missed += [] if places else [question]
    return Found(first, among, tuple(missed))


def _day(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
