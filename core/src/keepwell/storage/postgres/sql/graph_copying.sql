-- Carrying a graph from one store to another: what is told of its rows, and rows that are kept under their own ids.

-- name: size_graph
-- Count the rows of a scope's graph.
select (select count(*) from {schema}.entity e where @scope(e)),
    (select count(*) from {schema}.relation r where @scope(r)),
    (select count(*) from {schema}.mention m where @scope(m)),
    (select count(*) from {schema}.graph_change c where @scope(c))

-- name: copy_entities
-- Give the scope's entities in the order of their ids, after one.
select @entity(e) from {schema}.entity e where @scope(e) and e.id > %(after)s::uuid order by e.id limit %(limit)s

-- name: copy_relations
-- Give all versions of the scope's relations in the order of ids and versions, after one.
select @relation(r) from {schema}.relation r
where @scope(r) and (r.id, r.version) > (%(after)s::uuid, %(version)s::integer)
order by r.id, r.version limit %(limit)s

-- name: copy_mentions
-- Give the scope's mentions in their order, after one.
select m.user_id, m.agent_id, m.run_id, m.number, m.entity, m.message, m.fact, m.fact_version, m.span_start,
    m.span_end, m.surface, m.at
from {schema}.mention m where @scope(m) and m.number > %(after)s::bigint order by m.number limit %(limit)s

-- name: copy_graph_changes
-- Give the scope's changes of the graph in their order, after one.
select c.number, c.id, c.kind, c.user_id, c.agent_id, c.run_id, c.relation, c.one, c.two, c.before, c.after,
    c.entity_before, c.entity_after, c.moved, c.reason, c.actor, c.batch, c.cause, c.at,
    (select json_agg(json_build_array(g.message, g.span_start, g.span_end, g.fact, g.fact_version))
        from {schema}.ground g where @reached(g) and g.item = c.id and g.version = 0),
    c.told
from {schema}.graph_change c where @scope(c) and c.number > %(after)s::bigint order by c.number limit %(limit)s

-- name: seen_facts
-- Give the exact owner's standing facts that were looked through for names.
select f.id from {schema}.fact f
where @owner(f) and f.retired_at is null
    and f.key <= (select o.graph_to from {schema}.owner o where @owner(o))

-- name: own_entities
-- Give those of these entities that are the exact owner's.
select e.id from {schema}.entity e where @exact(e) and e.id = any(%(entities)s::uuid[])

-- name: keep_entities
-- Keep the exact owner's entities; one that is here in a lower version becomes what is given. Gives what was written,
-- and whether it is new.
insert into {schema}.entity as e
    (tenant, user_id, agent_id, run_id, id, version, name, folded, type, metadata, merged_into, retired_at)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.id, w.version, w.name, w.folded, w.type, w.metadata::json,
    w.merged_into, w.retired_at
from json_to_recordset(%(entities)s::json) as w (
    id uuid, version integer, name text, folded text, type text, metadata text, merged_into uuid,
    retired_at timestamptz
)
where @gate order by w.id
on conflict (id, tenant) do update set
    version = excluded.version, name = excluded.name, folded = excluded.folded, type = excluded.type,
    metadata = excluded.metadata, merged_into = excluded.merged_into, retired_at = excluded.retired_at
where (e.user_id, e.agent_id, e.run_id) = (excluded.user_id, excluded.agent_id, excluded.run_id)
    and e.version < excluded.version
returning e.id, e.xmax::text = '0'

-- name: known_relations
-- Give the versions that are here of these relations, whoever's they are.
select r.id, r.version, r.recorded_at, r.retired_at is null, r.user_id, r.agent_id, r.run_id
from {schema}.relation r where @reached(r) and r.id = any(%(items)s::uuid[])

-- name: keep_relations
-- Keep versions of the exact owner's relations; one that is here ends as the one given did. Gives what was written, and
-- whether it is new.
insert into {schema}.relation as r (tenant, user_id, agent_id, run_id, id, version, subject, predicate, object,
    valid_from, valid_to, recorded_at, retired_at, given)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.*
from json_to_recordset(%(relations)s::json) as w (
    id uuid, version integer, subject uuid, predicate text, object uuid, valid_from timestamptz, valid_to timestamptz,
    recorded_at timestamptz, retired_at timestamptz, given boolean
)
where @gate order by w.id, w.version
on conflict (id, version, tenant) do update set retired_at = excluded.retired_at
where r.retired_at is null and excluded.retired_at is not null
returning r.id, r.version, r.xmax::text = '0'

-- name: mentions_at
-- Give the exact owner's mentions in these messages and facts.
select m.number, m.entity, m.message, m.fact, m.fact_version, m.span_start from {schema}.mention m
where @exact(m) and (m.message = any(%(messages)s::bigint[]) or m.fact = any(%(facts)s::uuid[]))

-- name: keep_mentions
-- Keep mentions of the exact owner's entities that are not here, note when those were seen, and give their numbers.
with mention as (
    insert into {schema}.mention (tenant, user_id, agent_id, run_id, entity, message, fact, fact_version, span_start,
        span_end, surface, folded, at)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.entity, w.message, w.fact, w.fact_version, w.span_start,
        w.span_end, w.surface, w.folded, w.at
    from json_to_recordset(%(mentions)s::json) as w (
        n bigint, entity uuid, message bigint, fact uuid, fact_version integer, span_start integer, span_end integer,
        surface text, folded text, at timestamptz
    )
    where @gate order by w.n
    returning number, entity, message, fact, fact_version, span_start, at
), seen as (
    update {schema}.entity e set
        first_seen = least(e.first_seen, s.first), last_seen = greatest(e.last_seen, s.last)
    from (select m.entity, min(m.at) as first, max(m.at) as last from mention m group by m.entity) s
    where @exact(e) and e.id = s.entity
)
select m.number, m.entity, m.message, m.fact, m.fact_version, m.span_start from mention m

-- name: known_graph_changes
-- Give those of these changes of the graph that are here.
select c.id from {schema}.graph_change c where @reached(c) and c.id = any(%(ids)s::uuid[])

-- name: keep_seen_thread
-- Raise the watermark of the exact owner's thread up to the first message that is not among these.
update {schema}.thread t set graph_to = greatest(t.graph_to, coalesce((
    select min(m.seq) - 1 from {schema}.message m
    where @reached(m) and m.thread = t.key and m.seq > t.graph_to and m.id <> all(%(ids)s::text[])
), t.last_seq))
where @exact(t) and t.key = %(key)s

-- name: keep_seen_facts
-- Raise the watermark of the exact owner's facts up to the first that stands and is not among these.
update {schema}.owner o set graph_to = greatest(o.graph_to, coalesce((
    select min(f.key) - 1 from {schema}.fact f
    where @owner(f) and f.retired_at is null and f.key > o.graph_to and f.id <> all(%(facts)s::uuid[])
), o.last_fact))
where @owner(o)
