"""Work as the properties of nodes, and the way back: leases, what is due, model calls, idempotency keys."""

from __future__ import annotations

from dataclasses import fields
from typing import Final
from uuid import UUID

from keepwell.models import Owner, codec
from keepwell.storage.facts import DueItem, ModelCall
from keepwell.storage.neo4j.nodes import (
    Properties,
    instant,
    maybe,
    micros,
    owned,
    owner_of,
    retention,
    text_in,
    text_out,
)
from keepwell.storage.plain.tables import Call, Lease, Request, Waiting


def lease_in(tenant: str, owner: Owner, lease: Lease) -> Properties:
    """Give the properties of an owner."""
    return {
        **owned(tenant, owner),
        "lease": lease.number,
        "since": maybe(micros, lease.since),
        "until": maybe(micros, lease.until),
        "policy": codec.dumps(dict(lease.policy)),
        "retention": retention(lease.policy),
    }


def lease_out(node: Properties) -> Lease:
    """Give the lease and policy of a node."""
    since, until = maybe(instant, node.get("since")), maybe(instant, node.get("until"))
    return Lease(node["lease"], since, until, codec.loads(node["policy"]))


def due_name(item: DueItem) -> Properties:
    """Give what names work."""
    return {**item.owner._asdict(), "kind": item.kind, "item": item.item}


def waiting_in(tenant: str, waiting: Waiting) -> Properties:
    """Give the properties of work."""
    return {
        "tenant": tenant,
        **due_name(waiting.item),
        "attempts": waiting.item.attempts,
        "due_at": micros(waiting.due_at),
        "error": maybe(text_in, waiting.error),
    }


def waiting_out(node: Properties) -> Waiting:
    """Give the work of a node."""
    item = DueItem(node["kind"], owner_of(node), node["item"], node["attempts"])
    return Waiting(item, instant(node["due_at"]), maybe(text_out, node.get("error")))


_CALL: Final = tuple(field.name for field in fields(ModelCall))


def call_in(tenant: str, call: Call) -> Properties:
    """Give the properties of a model call."""
    return {
        **owned(tenant, call.owner),
        "at": micros(call.at),
        **{name: getattr(call.call, name) for name in _CALL},
    }


def call_out(node: Properties) -> Call:
    """Give the model call of a node."""
    return Call(owner_of(node), instant(node["at"]), ModelCall(**{name: node[name] for name in _CALL}))


RequestName = tuple[Owner, str, str]


def request_in(tenant: str, name: RequestName, request: Request) -> Properties:
    """Give the properties of what an idempotency key stands for."""
    owner, kind, key = name
    thread = maybe(str, request.thread)
    said = {"thread": thread, "asked": request.asked, "ids": list(request.ids)}
    return {**owned(tenant, owner), "kind": kind, "key": text_in(key), **said}


def request_out(node: Properties) -> tuple[RequestName, Request]:
    """Give an idempotency key and what it stands for."""
    name = owner_of(node), node["kind"], text_out(node["key"])
    return name, Request(maybe(UUID, node.get("thread")), node["asked"], tuple(node["ids"]))
