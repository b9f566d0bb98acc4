"""What an importer did."""

from __future__ import annotations

from dataclasses import dataclass, field

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Imported:
    """What was found at the source, and what came of it.

    ``found`` is ``new`` and ``there`` (already) and ``repeated`` (the same thing twice at the source) and ``broken``.
    ``missing`` counts what should be there afterwards and is not; 0 in a dry run, which writes nothing. ``reasons``
    says of the first broken ones what was wrong; ``lacking`` counts what the source itself had lost.
    """

    places: int = 0
    found: int = 0
    new: int = 0
    there: int = 0
    repeated: int = 0
    broken: int = 0
    lacking: int = 0
    missing: int = 0
    reasons: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def whole(self) -> bool:
        """Whether all that could be read is there."""
        return not self.missing and not self.broken


@dataclass(slots=True)
class Tally:
    """The same while it is under way."""

    dry_run: bool = False
    places: int = 0
    found: int = 0
    new: int = 0
    there: int = 0
    repeated: int = 0
    broken: int = 0
    lacking: int = 0
    missing: int = 0
    reasons: list[str] = field(default_factory=list)

    def break_(self, where: str, why: str) -> None:
        """Count something that cannot be read."""
        self.broken += 1
        if len(self.reasons) < _SHOWN:
            self.reasons.append(f"{where}: {why}")

    def done(self) -> Imported:
        """Give what was done."""
        return Imported(
            self.places,
            self.found,
            self.new,
            self.there,
            self.repeated,
            self.broken,
            self.lacking,
            self.missing,
            tuple(self.reasons),
            self.dry_run,
        )
