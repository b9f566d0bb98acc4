"""Finding what matters: pure functions from arrays to a ranking. Nothing here reads or writes."""
