"""The command ``demo``."""
from keepwell.cli.desk import Desk, at_desk


@at_desk
def demo(desk: Desk) -> None:
    """TODO."""
