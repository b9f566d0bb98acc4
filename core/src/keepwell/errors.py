"""What can go wrong, as one tree.

    KeepwellError
    ├── UsageError (also a ValueError)      the call itself is wrong; nothing was done
    │   ├── InvalidScope                    ids that name nobody, or everybody
    │   ├── InvalidMessage                  a message that cannot be kept as it is
    │   ├── InvalidQuery                    a query, limit or filter that means nothing
    │   └── ImportFormatError               a file that is not the export it should be
    ├── NotFound (also a LookupError)
    │   ├── ThreadNotFound
    │   ├── MessageNotFound
    │   ├── FactNotFound
    │   ├── EntityNotFound
    │   ├── RelationNotFound
    │   └── ChangeNotFound
    ├── Conflict
    │   ├── ThreadExists
    │   ├── IdempotencyConflict             one key, two different writes
    │   ├── FactChanged                     somebody changed the fact meanwhile
    │   └── LeaseLost                       another worker has taken the work over
    ├── StoreError                          the place where memory is kept
    │   ├── StoreUnavailable                no server answers there
    │   ├── StoreClosed                     used after close
    │   ├── DataFolderError                 the embedded server's folder
    │   ├── UpgradeRequired                 made by an older PostgreSQL
    │   ├── MigrationRequired               the tables are missing, older or newer
    │   ├── MissingExtension                pgvector is not installed there
    │   ├── NotPermitted                    the role lacks a right
    │   ├── RowSecurityBypassed             `require_rls` was asked for and cannot be had
    │   └── StoreFailed                     any other refusal of the database
    ├── LanguageMismatch                    the store's terms were made by the rules of another language
    ├── EmbeddingError
    │   ├── EmbedderMismatch                the store's vectors are of another model
    │   └── EmbedderFailed                  the model raised or answered nonsense
    ├── RerankerFailed                      the reranker raised or answered nonsense
    ├── LanguageModelError
    │   ├── NoLanguageModel                 something was asked that needs a model, and there is none
    │   ├── LanguageModelFailed             the model raised, or does not answer
    │   ├── AnswerInvalid                   the model's answer is not of the schema, or too long
    │   └── BudgetSpent                     the scope's or the day's budget of tokens or calls is spent
    └── MissingExtra (also an ImportError)  an optional part is not installed

Errors of drivers and models stay in ``__cause__``.
"""


class KeepwellError(Exception):
    """Something that keepwell raises on purpose."""


class UsageError(KeepwellError, ValueError):
    """The call itself is wrong; nothing was done."""


class InvalidScope(UsageError):
    """The ids given name nobody, or everybody."""


class InvalidMessage(UsageError):
    """The message cannot be kept as it is."""


class InvalidQuery(UsageError):
    """The query, limit or filter means nothing."""


class ImportFormatError(UsageError):
    """The file is not the export that it should be."""


class NotFound(KeepwellError, LookupError):
    """What was named is not there, or belongs to somebody else."""


class ThreadNotFound(NotFound):
    """No such thread in this scope."""


class MessageNotFound(NotFound):
    """No such message in this thread."""


class FactNotFound(NotFound):
    """No such fact in this scope."""


class EntityNotFound(NotFound):
    """There is no such entity here."""


class RelationNotFound(NotFound):
    """There is no such relation that stands here."""


class ChangeNotFound(NotFound):
    """No such change in this scope."""


class Conflict(KeepwellError):
    """The record already says otherwise."""


class ThreadExists(Conflict):
    """A thread of that id is already there."""


class IdempotencyConflict(Conflict):
    """The idempotency key was used before for another write."""


class FactChanged(Conflict):
    """The fact is not in the version any more that was looked at."""


class LeaseLost(Conflict):
    """Another worker has taken this work over; nothing was written."""


class StoreError(KeepwellError):
    """The place where memory is kept cannot do what was asked."""


class StoreUnavailable(StoreError):
    """No server answers there."""


class StoreClosed(StoreError):
    """The store was closed before this call."""


class DataFolderError(StoreError):
    """The embedded server's folder cannot be used as it is."""


class UpgradeRequired(StoreError):
    """The embedded server's folder was made by an older PostgreSQL."""


class MigrationRequired(StoreError):
    """The tables are missing, older or newer than this version needs."""


class MissingExtension(StoreError):
    """The server lacks pgvector."""


class NotPermitted(StoreError):
    """The database role lacks a right."""


class RowSecurityBypassed(StoreError):
    """Row-level security was required, and this role is not bound by it."""


class StoreFailed(StoreError):
    """The database refused; its own words are in the message."""


class EmbeddingError(KeepwellError):
    """Something about embeddings is wrong."""


class LanguageMismatch(KeepwellError):
    """The store's terms were made by the rules of another language."""


class EmbedderMismatch(EmbeddingError):
    """The store's vectors were made by another model."""


class EmbedderFailed(EmbeddingError):
    """The embedding model raised, or answered nonsense."""


class RerankerFailed(KeepwellError):
    """The reranker raised, or answered nonsense."""


class LanguageModelError(KeepwellError):
    """Something about the language model is wrong; no message is lost by it."""


class NoLanguageModel(LanguageModelError):
    """This needs a language model, and there is none."""


class LanguageModelFailed(LanguageModelError):
    """The language model raised, or does not answer."""


class AnswerInvalid(LanguageModelError):
    """The language model's answer is not what was asked for; nothing was changed by it."""


class BudgetSpent(LanguageModelError):
    """The budget is spent; the work stays due."""


class MissingExtra(KeepwellError, ImportError):
    """An optional part of keepwell is not installed."""

    def __init__(self, extra: str, package: str) -> None:
        """Name the extra to install and the package that was looked for."""
        super().__init__(f"this needs {package}; install it with: pip install 'keepwell[{extra}]'")
