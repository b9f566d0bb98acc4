"""The graph's part of the one call that extracts: entities, how they stand to each other, and what does not hold now.

It is believed as facts are: a relation needs words that are found in the message it names. What is known already is
shown under small numbers, so that a model can say whom it means, and what has ended.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import Field

from keepwell.errors import AnswerInvalid
from keepwell.formation.answers import AnswerModel
from keepwell.formation.entities import split_role, type_of
from keepwell.formation.entities_found import Named
from keepwell.formation.extract import Excerpt, Extraction, find_quote, span_of, trust_of
from keepwell.formation.names import MAX_NAME, folded, tidy
from keepwell.models import Message, Source
from keepwell.models.graph import Entity, EntityType, Relation

MAX_FOUND = 400
MAX_PREDICATE = 80
MAX_SHOWN = 40
"""Known entities that are shown, and twice as many relations."""
_USER = "The user"
MYSELF = frozenset(("the user", "user", "i", "me", "myself", "the speaker", "speaker", "human", "the human"))
"""How a model names who speaks, where the conversation has no name."""

RULES = """Give besides, tied to the same entries:
- `entities`: people, places, organisations, works (books, films, songs) and things that have a name: `message`, the \
number of the entry; `name` as it is written there, in full where it is known, without titles; where two have one \
name, say which as for subjects: "Priya (sister)"; `type`: person, place, organisation, work, handle or thing; \
`known`: the number of the known entity that is meant, else null.
- `relations`: how one entity stands to another, such as "Priya", "sister of", "Ada": `message`, `quote` (copied \
exactly, as for facts), `subject` and `object` (names as in `entities`; who speaks without a name is "The user"), \
`predicate` (two or three words in the present), `valid_from`, `valid_to` (as for facts).
- `ended`: known relations that hold no longer by what is said: `relation`, its number; `message` and `quote` as \
above; `valid_to`, since when; `wrong`: true where it never held.
- Give only what is said. Nothing to give: empty lists."""


class ExtractedEntity(AnswerModel):
    """One named entity, as a model gives it."""

    message: int
    name: str
    type: str = "thing"
    known: int | None = None


class ExtractedRelation(AnswerModel):
    """How one entity stands to another, as a model gives it."""

    message: int
    quote: str
    subject: str
    predicate: str
    object: str
    valid_from: str | None = None
    valid_to: str | None = None


class EndedRelation(AnswerModel):
    """A known relation that holds no longer, as a model gives it."""

    message: int
    quote: str
    relation: int
    valid_to: str | None = None
    wrong: bool = False


class GraphExtraction(Extraction):
    """What a model found in a conversation: facts, and the graph's part."""

    entities: list[ExtractedEntity] = Field(default_factory=list, max_length=MAX_FOUND)
    relations: list[ExtractedRelation] = Field(default_factory=list, max_length=MAX_FOUND)
    ended: list[EndedRelation] = Field(default_factory=list, max_length=MAX_FOUND)


@dataclass(frozen=True, slots=True)
class KnownGraph:
    """What is known of those whom a conversation may name; ``names`` has the ends of the relations, too.

    ``myself`` is the name of who speaks where a message has none: a model knows them as "The user".
    """

    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    names: Mapping[UUID, str] = field(default_factory=dict)
    myself: str = ""

    def told(self, given: Excerpt) -> Mapping[str, object]:
        """Give what a model is shown of it."""
        return {
            "known entities": [
                {"number": number, "name": given.screen.shown(self._shown(one.name)), "type": one.type}
                for number, one in enumerate(self.entities, 1)
            ],
            "known relations": [
                {"number": number, **{place: given.screen.shown(said) for place, said in self._said(one).items()}}
                for number, one in enumerate(self.relations, 1)
            ],
        }

    def _said(self, one: Relation) -> Mapping[str, str]:
        ends = (self._shown(self.names.get(end, "somebody")) for end in (one.subject, one.object))
        return dict(zip(("subject", "object"), ends, strict=True)) | {"predicate": one.predicate}

    def _shown(self, name: str) -> str:
        return _USER if name == self.myself else name


@dataclass(frozen=True, slots=True)
class Spoken:
    """An entity that an entry names: where its message has the name (nowhere, where only a relation names it)."""

    message: int
    names: tuple[Named, ...]
    known: UUID | None = None

    @property
    def label(self) -> tuple[str, str]:
        """The name, folded, and the role."""
        return folded(self.names[0].name), self.names[0].role


@dataclass(frozen=True, slots=True)
class Said:
    """A relation with its evidence; the ends are folded names with their roles."""

    subject: tuple[str, str]
    predicate: str
    object: tuple[str, str]
    source: Source
    valid_from: dt.datetime | None = None
    valid_to: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """A known relation that holds no longer since ``valid_to``, or never did (None)."""

    relation: Relation
    valid_to: dt.datetime | None
    source: Source


@dataclass(frozen=True, slots=True)
class GraphFound:
    """What of an answer is believed, and how often what else was not, by reason."""

    spoken: tuple[Spoken, ...] = ()
    relations: tuple[Said, ...] = ()
    over: tuple[Over, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return bool(self.spoken or self.relations or self.over)


@dataclass(slots=True)
class _Reading:
    """An answer on its way to what is believed of it."""

    given: Excerpt
    known: KnownGraph
    spoken: dict[tuple[int, tuple[str, str]], Spoken] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, why: str) -> None:
        self.dropped[why] = self.dropped.get(why, 0) + 1

    def label(self, told: str) -> tuple[str, str]:
        """Give the name and the role that a model means."""
        name, role = split_role(told)
        return (self.known.myself, "") if name.casefold() in MYSELF else (name, role)

    def is_usable(self, *texts: str) -> bool:
        return all(texts) and not any(self.given.screen.holds_secret(text) for text in texts)

    def source(self, number: int, quote: str) -> Source | None:
        """Give the evidence, where the message has the words and is somebody's whose word counts."""
        key, message = self.given.evidence[number - 1]
        if trust_of(message) != "user" and not self.given.settings.assistant_facts:
            return None
        span = find_quote(quote, message.text, self.given.screen.hidden(message.text))
        return None if span is None else Source(key, *span)


def graph_of(answer: GraphExtraction, given: Excerpt, known: KnownGraph) -> GraphFound:
    """Give what can be believed of the graph's part of an answer.

    Raises:
        AnswerInvalid: it names a message, an entity or a relation that there is not, or would end more than the
            guard lets through.
    """
    _check(answer, given, known)
    reading = _Reading(given, known)
    for entity in answer.entities:
        _read_entity(entity, reading)
    relations = tuple(dict.fromkeys(_read_relations(answer.relations, reading)))
    over = tuple(_read_ended(answer.ended, reading))
    return GraphFound(tuple(reading.spoken.values()), relations, over, reading.dropped)


def _check(answer: GraphExtraction, given: Excerpt, known: KnownGraph) -> None:
    places = [one.message for one in answer.entities]
    places += [one.message for one in answer.relations] + [one.message for one in answer.ended]
    for message in places:
        if not 1 <= message <= len(given.evidence):
            raise AnswerInvalid(f"the answer names message {message}, and there are {len(given.evidence)}")
    for entity in answer.entities:
        if entity.known is not None and not 1 <= entity.known <= len(known.entities):
            raise AnswerInvalid(f"the answer names entity {entity.known}, and {len(known.entities)} are known")
    for ended in answer.ended:
        if not 1 <= ended.relation <= len(known.relations):
            raise AnswerInvalid(f"the answer names relation {ended.relation}, and {len(known.relations)} are known")
    most = max(given.settings.guard_floor, int(given.settings.guard_share * len(known.relations)))
    if len({one.relation for one in answer.ended}) > most:
        raise AnswerInvalid(f"the answer would end {len(answer.ended)} of {len(known.relations)} relations")


def _read_entity(entity: ExtractedEntity, reading: _Reading) -> None:
    name, role = reading.label(tidy(entity.name))
    key, message = reading.given.evidence[entity.message - 1]
    if not reading.is_usable(name):
        return reading.drop("no name, or one that is screened")
    hidden = reading.given.screen.hidden(message.text)
    spans = tuple(_places(name, message, hidden))
    if not spans and name != reading.known.myself:
        return reading.drop("no such name in the message")
    kind = type_of(entity.type)
    found = tuple(Named(start, end, message.text[start:end], kind, "name", role=role) for start, end in spans)
    known = None if entity.known is None else reading.known.entities[entity.known - 1].now
    _put(reading, Spoken(key, found or (Named(0, 0, name, "person", "speaker"),), known))
    return None


def _put(reading: _Reading, spoken: Spoken) -> None:
    reading.spoken.setdefault((spoken.message, spoken.label), spoken)


def _places(name: str, message: Message, hidden: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    words = r"\s+".join(map(re.escape, name.split()))
    pattern = re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)
    for match in pattern.finditer(message.text):
        if not any(match.start() < end and start < match.end() for start, end in hidden):
            yield match.span()


def _read_relations(given: Sequence[ExtractedRelation], reading: _Reading) -> Iterator[Said]:
    for one in given:
        predicate = tidy(one.predicate).strip(" .,;:_").replace("_", " ").lower()
        ends = [reading.label(tidy(end)) for end in (one.subject, one.object)]
        source = reading.source(one.message, one.quote)
        if source is None:
            reading.drop("no words of the message say so")
        elif not reading.is_usable(predicate, *(name for name, _ in ends)) or len(predicate) > MAX_PREDICATE:
            reading.drop("no relation, or one that is screened")
        elif folded(ends[0][0]) == folded(ends[1][0]) and ends[0][1] == ends[1][1]:
            reading.drop("a relation to itself")
        else:
            key, _ = reading.given.evidence[one.message - 1]
            labels = [_named(reading, key, one.message, name, role) for name, role in ends]
            yield Said(labels[0], predicate, labels[1], source, *span_of(one.valid_from, one.valid_to))


def _named(reading: _Reading, key: int, number: int, name: str, role: str) -> tuple[str, str]:
    """Give the label of a relation's end; one that no entry names is named by the relation."""
    label = folded(name), role
    there = {spoken.label for spoken in reading.spoken.values()}
    if label in there:
        return label
    same = [one for one in there if one[0] == label[0]]
    if not role and len(same) == 1:
        return same[0]
    _, message = reading.given.evidence[number - 1]
    kind: EntityType = "person" if name == reading.known.myself else "thing"
    spans = tuple(_places(name, message, reading.given.screen.hidden(message.text)))
    found = tuple(Named(start, end, message.text[start:end], kind, "name", role=role) for start, end in spans)
    _put(reading, Spoken(key, found or (Named(0, 0, name[:MAX_NAME], kind, "name", role=role),)))
    return label


def _read_ended(given: Sequence[EndedRelation], reading: _Reading) -> Iterator[Over]:
    seen: set[int] = set()
    for one in given:
        source = reading.source(one.message, one.quote)
        if source is None:
            reading.drop("no words of the message say so")
        elif one.relation not in seen:
            seen.add(one.relation)
            _, message = reading.given.evidence[one.message - 1]
            # "Until May": since the day that the date begins with.
            since = span_of(one.valid_to, None)[0] or message.created_at
            yield Over(reading.known.relations[one.relation - 1], None if one.wrong else since, source)
