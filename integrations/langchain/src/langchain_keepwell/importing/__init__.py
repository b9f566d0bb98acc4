"""Taking over what other libraries kept: LangChain's chat histories in PostgreSQL and Neo4j, and LangGraph's store.

Each importer reads and never writes at the source, may be stopped and run again (it adds what is missing), counts what
it did, and looks afterwards whether everything is there. ``dry_run=True`` only counts.
"""

from langchain_keepwell.importing.neo4j_history import import_neo4j_chat_history
from langchain_keepwell.importing.postgres_history import import_postgres_chat_history
from langchain_keepwell.importing.postgres_store import import_postgres_store
from langchain_keepwell.importing.tally import Imported

__all__ = ["Imported", "import_neo4j_chat_history", "import_postgres_chat_history", "import_postgres_store"]
