"""Neo4j: the record's graph as a projection, and conversations kept there alone. Needs the extra ``neo4j``."""

from keepwell.errors import MissingExtra

try:
    import neo4j as _driver
except ImportError as error:
    raise MissingExtra("neo4j", "the Neo4j driver (neo4j)") from error

DRIVER = f"neo4j {_driver.__version__}"
"""The driver that is installed, in words."""

__all__ = ["DRIVER"]
