"""What every plan is given: a tenant, and statements that cannot leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keepwell.storage.postgres.queries import Names, scope_parameters, shape, statement

if TYPE_CHECKING:
    from keepwell.models import Owner, Scope
    from keepwell.storage.postgres.runner import Step


@dataclass(frozen=True, slots=True)
class Walls:
    """A tenant and where its tables are."""

    tenant: str
    names: Names

    def step(self, name: str, owner: Owner | None = None, **parameters: Any) -> Step:  # noqa: ANN401 - SQL values
        """Give the statement of that name, bound to the tenant and to the exact owner where one is given."""
        ids = {} if owner is None else owner._asdict()
        return statement(name, self.names), {"tenant": self.tenant, **ids, **parameters}

    def scoped(self, name: str, scope: Scope, **parameters: Any) -> Step:  # noqa: ANN401 - SQL values
        """Give the statement of that name, bound to the tenant and to the owners that the scope covers."""
        ids = scope_parameters(scope)
        return statement(name, self.names, shape(scope)), {"tenant": self.tenant, **ids, **parameters}
