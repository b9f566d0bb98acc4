"""Patience with a language model that is far away: a deadline, tries anew, and rest where it keeps failing."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from keepwell.errors import AnswerInvalid, KeepwellError, LanguageModelFailed
from keepwell.models import Message
from keepwell.providers.language import Answer, LanguageModel

if TYPE_CHECKING:
    from purgatory import SyncCircuitBreakerFactory
    from tenacity import Retrying

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")
_FAILURES, _REST_SECONDS = 5, 30.0
_PASSING_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
_PASSING_NAMES = frozenset(
    "APIConnectionError APITimeoutError RateLimitError InternalServerError ServiceUnavailableError OverloadedError"
    " TransportError ConnectError ReadError ConnectTimeout ReadTimeout RemoteProtocolError".split()
)


class GuardedModel:
    """A model that is asked within ``seconds``, up to ``attempts`` times where the way to it failed.

    What the model itself refuses is not tried again. After five failures in a row it rests for half a minute.
    """

    def __init__(self, inner: LanguageModel, *, seconds: float = 60.0, attempts: int = 3, pause: float = 0.5) -> None:
        """Guard a model; ``pause`` is the first wait between tries, which doubles and has chance in it."""
        self.inner = inner
        self.seconds = seconds
        self._attempts, self._pause = attempts, pause
        self._breakers: SyncCircuitBreakerFactory | None = None
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The name of the model that is guarded."""
        return self.inner.model

    def ask(self, messages: Sequence[Message], schema: type[M]) -> Answer[M]:
        """Ask it.

        Raises:
            LanguageModelFailed: it raised, does not answer in time, or rests after many failures.
            AnswerInvalid: its answer is not of the schema.
        """
        asked: Callable[[], Answer[M]] = partial(self.inner.ask, messages, schema)
        try:
            with self._breaker_factory().get_breaker("language model"):
                return _retrying(self._attempts, self._pause)(within, self.seconds, asked)
        except KeepwellError:
            raise
        except TimeoutError:
            raise LanguageModelFailed(f"{self.model!r} gave no answer in {self.seconds:g} s") from None
        except Exception as error:
            if type(error).__name__ == "OpenedState":  # the breaker's own, whose package is imported only when needed
                raise LanguageModelFailed(
                    f"{self.model!r} failed {_FAILURES} times and rests for {_REST_SECONDS:g} s"
                ) from None
            raise failure(self.model, error) from error

    def _breaker_factory(self) -> SyncCircuitBreakerFactory:
        import purgatory  # noqa: PLC0415 - not at the import of keepwell, which is to be quick

        with self._lock:
            if self._breakers is None:
                # An invalid answer is the answer's fault: the model is there.
                self._breakers = purgatory.SyncCircuitBreakerFactory(_FAILURES, _REST_SECONDS, exclude=[AnswerInvalid])
            return self._breakers


def failure(model: str, error: Exception) -> LanguageModelFailed:
    """Give a foreign error as one of ours: its kind, never its words, which may hold what was said."""
    status = getattr(error, "status_code", None)
    told = f" (status {status})" if isinstance(status, int) else ""
    return LanguageModelFailed(f"the language model {model!r} failed: {type(error).__name__}{told}")


def is_passing(error: BaseException) -> bool:
    """Tell whether an error is of the way to the model, so that it may go well the next time.

    Example:
        >>> is_passing(ConnectionResetError()), is_passing(ValueError())
        (True, False)
    """
    if isinstance(error, KeepwellError):
        return False
    if getattr(error, "status_code", None) in _PASSING_STATUS:
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, ConnectionError) or not _PASSING_NAMES.isdisjoint(names)


def within(seconds: float, work: Callable[[], R]) -> R:
    """Do work on a thread of its own, and stop waiting for it after so long.

    Raises:
        TimeoutError: it is not done by then; the thread is left to itself, and does not keep the process alive.
    """
    done: SimpleQueue[tuple[R | None, BaseException | None]] = SimpleQueue()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            done.put((context.run(work), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where it was waited for
            done.put((None, error))

    threading.Thread(target=run, name="keepwell-language-model", daemon=True).start()
    try:
        value, error = done.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # where there is no error there is a value


def _retrying(attempts: int, pause: float) -> Retrying:
    import tenacity  # noqa: PLC0415 - as above

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing),
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_random_exponential(multiplier=pause, max=8),
        reraise=True,
    )
