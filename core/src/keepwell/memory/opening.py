"""What a memory is opened with: settings, models, and how it goes about facts and the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from keepwell.errors import MissingExtra, UsageError
from keepwell.formation.options import FormationSettings
from keepwell.memory.engine import Habits
from keepwell.memory.places import Place, ProjectionPlace, is_projection
from keepwell.providers.embedding import Embedder, embedder_of
from keepwell.providers.language import LanguageModel
from keepwell.storage.base import Forming

if TYPE_CHECKING:
    from keepwell.providers.reranking import Reranker
    from keepwell.settings import Settings


def worker_of(place: Place, language: LanguageModel | None, *, graph: bool = False) -> Literal["thread", "none"]:
    """Give who does what is due where nobody said: the store of one process does it itself, where anything can be.

    That is facts to be formed, by a language model, and names to be found (``graph``), by nothing else.
    """
    embedded = place.dsn is None and place.pool is None
    return "thread" if embedded and (language is not None or graph) else "none"


def habits_of(settings: Settings, language: str | None = None, graph: str | None = None) -> Habits:
    """Give how a memory goes about facts, by the settings."""
    pause = settings.form_pause_seconds if settings.form else None
    return Habits(
        Forming(pause, settings.form_every),
        FormationSettings(
            instructions=settings.instructions,
            never=settings.never,
            tokens_per_day=settings.tokens_per_day,
            calls_per_day=settings.calls_per_day,
            distil_hour=settings.distil_hour,
            retention_days=settings.retention_days,
            graph=_keeps_graph(settings.graph if graph is None else graph),
            merge_threshold=settings.merge_threshold,
        ),
        None if settings.secret is None else settings.secret.get_secret_value().encode(),
        settings.context_items,
        settings.context_characters,
        settings.ranking,
        settings.language if language is None else language or None,
        _projection(settings, settings.graph if graph is None else graph),
    )


def _keeps_graph(graph: str) -> bool:
    """Tell whether the layer of the graph is on."""
    if graph not in {"record", "none"} and not is_projection(graph):
        raise UsageError(f"graph= is not known; give 'record', 'none' or the address of a Neo4j: {_shown(graph)!r}")
    return graph != "none"


def _shown(graph: str) -> str:
    """Give what was said without what may be a password."""
    return f"{graph.partition('://')[0]}://..." if "://" in graph else graph


def _projection(settings: Settings, graph: str) -> ProjectionPlace | None:
    """Give where the graph is projected to."""
    if not is_projection(graph):
        return None
    password = None if settings.neo4j_password is None else settings.neo4j_password.get_secret_value()
    return ProjectionPlace(graph, settings.neo4j_user, password, settings.graph_source, settings.graph_seconds)


def settings_now() -> Settings:
    """Give the settings as they are now."""
    from keepwell.settings import read_settings  # noqa: PLC0415 - not at the import of keepwell, which is to be quick

    return read_settings()


def embedder_for(given: Any) -> Embedder | None:  # noqa: ANN401 - as in Memory.open
    """Give the embedder that was asked for: an object, ``bundled``, ``auto`` or none.

    Raises:
        UsageError: it is another word.
        MissingExtra: the bundled one was asked for, and is not installed.
    """
    from keepwell.providers.bundled import BundledEmbedder, is_installed  # noqa: PLC0415 - numpy, as above

    if given is None or isinstance(given, str):
        if given not in (None, "auto", "bundled"):
            raise UsageError(f"embedder={given!r} is not known; give an embedding object, 'bundled', 'auto' or None")
        if given == "bundled" and not is_installed():
            raise MissingExtra("local", "wordllama")
        return BundledEmbedder() if given is not None and is_installed() else None
    return embedder_of(given)


def language_model_for(given: Any) -> LanguageModel | None:  # noqa: ANN401 - as in Memory.open
    """Give the language model that was asked for; None where none was."""
    if given is None:
        return None
    from keepwell.providers.language_models import language_model_of  # noqa: PLC0415 - when it is needed

    return language_model_of(given)


def reranker_for(given: Any) -> Reranker | None:  # noqa: ANN401 - as in Memory.open
    """Give the reranker that was asked for; None where none was."""
    from keepwell.providers.reranking import reranker_of  # noqa: PLC0415 - when it is needed

    return None if given is None else reranker_of(given)
