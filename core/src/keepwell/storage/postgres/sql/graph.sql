-- name: graph_messages
-- Give those of these messages that are the exact owner's, with their writers and times, and keep them from being
-- removed.
select m.key, m.written_by::text, m.created_at from {schema}.message m
where @exact(m) and m.key = any(%(messages)s) order by m.key for key share

-- name: graph_facts
-- Give those of these versions of facts that are the exact owner's, with their times, and keep them from being removed.
select f.id, f.version, coalesce(f.valid_from, f.recorded_at)
from unnest(%(facts)s::uuid[], %(versions)s::integer[]) as w (id, version)
join {schema}.fact f on f.id = w.id and f.version = w.version where @exact(f) order by f.key for key share of f

-- name: graph_instant
-- Give the time, and when the owner's graph was changed last.
select clock_timestamp(), (
    select c.at from {schema}.graph_change c where @owner(c) order by c.at desc, c.number desc limit 1
)
where @gate

-- name: ids_of_others
-- Give those of these ids that entities and relations of other owners have.
select e.id from {schema}.entity e
where @reached(e) and e.id = any(%(ids)s::uuid[])
    and (e.user_id, e.agent_id, e.run_id) <> (%(user_id)s, %(agent_id)s, %(run_id)s)
union
select r.id from {schema}.relation r
where @reached(r) and r.id = any(%(ids)s::uuid[])
    and (r.user_id, r.agent_id, r.run_id) <> (%(user_id)s, %(agent_id)s, %(run_id)s)

-- name: standing_entities
-- Give the exact owner's entities of these ids, whom they are taken to be, and what else is taken to be those.
with asked as (
    select e.id, e.merged_into from unnest(%(ids)s::uuid[]) as w (id) cross join lateral (
        select e.id, e.merged_into from {schema}.entity e where @exact(e) and e.id = w.id offset 0
    ) e
), root as (
    select distinct coalesce(a.merged_into, a.id) as id from asked a
), every as (
    select r.id from root r union select f.id from root r cross join lateral (
        select f.id from {schema}.entity f where @exact(f) and f.merged_into = r.id offset 0
    ) f
)
select f.* from every v cross join lateral (
    select @entity(e) from {schema}.entity e where @exact(e) and e.id = v.id offset 0
) f

-- name: standing_relations
-- Give the newest versions of the exact owner's relations of these ids, and those that stand between these ends.
with wanted as (
    select r.id, r.version from unnest(%(ids)s::uuid[]) as w (id) cross join lateral (
        select r.id, r.version from {schema}.relation r where @exact(r) and r.id = w.id order by r.version desc limit 1
    ) r
    union
    select r.id, r.version from unnest(%(subjects)s::uuid[], %(objects)s::uuid[]) as w (subject, object)
    cross join lateral (
        select r.id, r.version from {schema}.relation r
        where @exact(r) and r.subject = w.subject and r.object = w.object and r.retired_at is null offset 0
    ) r
)
select r.* from wanted w cross join lateral (
    select @relation(r) from {schema}.relation r where @exact(r) and r.id = w.id and r.version = w.version offset 0
) r

-- name: mentions_by_number
-- Give of which entities the exact owner's mentions are.
select m.number, m.entity from {schema}.mention m where @exact(m) and m.number = any(%(numbers)s)

-- name: mentions_in
-- Give the exact owner's mentions in these messages.
select m.number, m.entity, m.message, m.span_start, m.span_end, m.folded from {schema}.mention m
where @exact(m) and m.message = any(%(messages)s)

-- name: write_entities
-- Keep states of the exact owner's entities.
insert into {schema}.entity as e
    (tenant, user_id, agent_id, run_id, id, version, name, folded, type, metadata, merged_into, retired_at)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.id, w.version, w.name, w.folded, w.type, w.metadata::json,
    w.merged_into, w.retired_at
from json_to_recordset(%(entities)s::json) as w (
    id uuid, version integer, name text, folded text, type text, metadata text, merged_into uuid,
    retired_at timestamptz
)
where @gate
on conflict (id, tenant) do update set
    version = excluded.version, name = excluded.name, folded = excluded.folded, type = excluded.type,
    metadata = excluded.metadata, merged_into = excluded.merged_into, retired_at = excluded.retired_at
where (e.user_id, e.agent_id, e.run_id) = (excluded.user_id, excluded.agent_id, excluded.run_id)

-- name: write_names
-- Keep names of the exact owner's entities with their grams; one that is there may become a given one.
with made as materialized (
    select * from json_to_recordset(%(names)s::json) as w (
        entity uuid, folded text, shown text, given boolean, grams text, size smallint
    )
), given as (
    update {schema}.name n set given = true
    from made w where @exact(n) and n.entity = w.entity and n.folded = w.folded and w.given and not n.given
), name as (
    insert into {schema}.name (tenant, user_id, agent_id, run_id, entity, folded, shown, given, grams, size)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.entity, w.folded, w.shown, w.given, w.grams, w.size
    from made w where @gate
    on conflict (entity, folded, tenant) do nothing
    returning key, grams
)
insert into {schema}.name_gram (tenant, user_id, gram, name, agent_id, run_id)
select %(tenant)s, %(user_id)s, g.gram, n.key, %(agent_id)s, %(run_id)s
from name n cross join string_to_table(n.grams, E'\n') as g (gram) where g.gram <> ''

-- name: ungive_names
-- Take from the names of these entities that they were given, except those that stay so.
update {schema}.name n set given = false
where @exact(n) and n.entity = any(%(entities)s::uuid[]) and n.given and not exists (
    select 1 from unnest(%(owners)s::uuid[], %(folds)s::text[]) as k (entity, folded)
    where k.entity = n.entity and k.folded = n.folded
)

-- name: drop_names
-- Remove the names of these entities that are not their own, were not given and are said by no mention.
with gone as (
    delete from {schema}.name n
    using unnest(%(entities)s::uuid[]) as w (id)
    cross join lateral (select e.folded from {schema}.entity e where @reached(e) and e.id = w.id offset 0) e
    where @exact(n) and n.entity = w.id and not n.given and n.folded <> e.folded and not exists (
        select 1 from {schema}.mention m where @reached(m) and m.entity = n.entity and m.folded = n.folded
    )
    returning n.key
)
delete from {schema}.name_gram g using gone d where @reached(g) and g.name = d.key

-- name: end_relations
-- Retire versions of relations.
update {schema}.relation r set retired_at = %(at)s
from unnest(%(ids)s::uuid[], %(versions)s::integer[]) as w (id, version)
where @exact(r) and r.id = w.id and r.version = w.version

-- name: write_relations
-- Keep versions of the exact owner's relations.
insert into {schema}.relation (tenant, user_id, agent_id, run_id, id, version, subject, predicate, object, valid_from,
    valid_to, recorded_at, retired_at, given)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.*
from json_to_recordset(%(relations)s::json) as w (
    id uuid, version integer, subject uuid, predicate text, object uuid, valid_from timestamptz, valid_to timestamptz,
    recorded_at timestamptz, retired_at timestamptz, given boolean
)
where @gate

-- name: write_grounds
-- Keep what versions of relations and changes rest on, each once.
insert into {schema}.ground (tenant, user_id, agent_id, run_id, item, version, message, span_start, span_end, fact,
    fact_version)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.*
from json_to_recordset(%(grounds)s::json) as w (
    item uuid, version integer, message bigint, span_start integer, span_end integer, fact uuid, fact_version integer
)
where @gate and not exists (
    select 1 from {schema}.ground g
    where @reached(g) and g.item = w.item and g.version = w.version and g.message is not distinct from w.message
        and g.span_start = w.span_start and g.span_end = w.span_end and g.fact is not distinct from w.fact
        and g.fact_version = w.fact_version
)

-- name: write_graph_changes
-- Keep changes of the exact owner's graph, in their order.
insert into {schema}.graph_change (tenant, user_id, agent_id, run_id, id, kind, relation, one, two, before, after,
    entity_before, entity_after, moved, told, reason, actor, batch, cause, at)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.id, w.kind, w.relation, w.one, w.two, w.before, w.after,
    w.entity_before::json, w.entity_after::json, w.moved::json, w.told, w.reason::json, w.actor, w.batch, w.cause, w.at
from json_to_recordset(%(changes)s::json) as w (
    n bigint, id uuid, kind text, relation uuid, one uuid, two uuid, before integer, after integer, entity_before text,
    entity_after text, moved text, told text, reason text, actor text, batch uuid, cause uuid, at timestamptz
)
where @gate order by w.n

-- name: move_mentions
-- Make mentions those of other entities, and give these the names that they say. The entities must be there.
with moved as (
    update {schema}.mention m set entity = w.entity
    from (
        select w.number, w.entity, o.entity as earlier
        from unnest(%(numbers)s::bigint[], %(entities)s::uuid[]) as w (number, entity)
        cross join lateral (
            select o.entity from {schema}.mention o where @reached(o) and o.number = w.number offset 0
        ) o
    ) w
    where @exact(m) and m.number = w.number
    returning w.entity, w.earlier, m.folded
), name as (
    insert into {schema}.name (tenant, user_id, agent_id, run_id, entity, folded, shown, given, grams, size)
    select distinct on (d.entity, n.folded) %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, d.entity, n.folded,
        n.shown, false, n.grams, n.size
    from moved d join {schema}.name n on n.entity = d.earlier and n.folded = d.folded
    where @exact(n)
    on conflict (entity, folded, tenant) do nothing
    returning key, grams
)
insert into {schema}.name_gram (tenant, user_id, gram, name, agent_id, run_id)
select %(tenant)s, %(user_id)s, g.gram, n.key, %(agent_id)s, %(run_id)s
from name n cross join string_to_table(n.grams, E'\n') as g (gram) where g.gram <> ''

-- name: write_mentions
-- Keep mentions of the exact owner's entities, each once, and note when those were seen.
with mention as (
    insert into {schema}.mention (tenant, user_id, agent_id, run_id, entity, message, fact, fact_version, span_start,
        span_end, surface, folded, at)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, w.entity, w.message, w.fact, w.fact_version, w.span_start,
        w.span_end, w.surface, w.folded, w.at
    from json_to_recordset(%(mentions)s::json) as w (
        n bigint, entity uuid, message bigint, fact uuid, fact_version integer, span_start integer, span_end integer,
        surface text, folded text, at timestamptz
    )
    where @gate and not exists (
        select 1 from {schema}.mention m
        where @reached(m) and m.message = w.message and m.entity = w.entity and m.span_start = w.span_start
    ) and not exists (
        select 1 from {schema}.mention m
        where @reached(m) and m.fact = w.fact and m.fact_version = w.fact_version and m.entity = w.entity
            and m.span_start = w.span_start
    )
    order by w.n
    returning entity, at
), seen as (
    select m.entity, min(m.at) as first, max(m.at) as last from mention m group by m.entity
)
update {schema}.entity e set
    first_seen = least(e.first_seen, s.first), last_seen = greatest(e.last_seen, s.last)
from seen s where @exact(e) and e.id = s.entity

-- name: see_again
-- Work out anew when entities were seen first and last, from the mentions that are left.
update {schema}.entity e set first_seen = s.first, last_seen = s.last
from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
    select min(m.at) as first, max(m.at) as last from {schema}.mention m where @reached(m) and m.entity = w.id
) s
where @reached(e) and e.id = w.id

-- name: note_seen_threads
-- Move the watermarks of the exact owner's threads, upwards.
update {schema}.thread t set graph_to = greatest(t.graph_to, least(w.upto, t.last_seq))
from unnest(%(threads)s::uuid[], %(uptos)s::bigint[]) as w (key, upto)
where @exact(t) and t.key = w.key

-- name: note_seen_messages
-- Take the mark off messages that were looked through as they are now.
update {schema}.message m set graph_again = false
from unnest(%(messages)s::bigint[], %(versions)s::text[]) as w (key, version)
where @exact(m) and m.key = w.key and m.graph_again and m.written_by::text = w.version

-- name: note_seen_facts
-- Move the watermark of the exact owner's facts, upwards.
update {schema}.owner o set graph_to = greatest(o.graph_to, %(upto)s::bigint) where @owner(o)

-- name: unseen_threads
-- Give threads with messages that were not looked through for names.
select t.key, t.user_id, t.agent_id, t.run_id, t.graph_to, t.last_seq from {schema}.thread t
where @wall(t) and t.graph_to < t.last_seq order by t.updated_at limit %(limit)s

-- name: unseen_messages
-- Give the next messages of threads after their watermarks, and those that were replaced, oldest first.
select t.key, m.key, m.actor, m.written_by::text, m.seq, m.id, m.body, m.native, m.created_at,
    m.user_id, m.agent_id, m.run_id
from unnest(%(threads)s::uuid[], %(seqs)s::bigint[]) as t (key, seq) cross join lateral (
    select m.* from {schema}.message m where @reached(m) and m.thread = t.key and m.seq > t.seq
    order by m.seq limit %(limit)s
) m

-- name: replaced_messages
-- Give messages that were replaced since they may have been looked through.
select m.thread, m.key, m.actor, m.written_by::text, m.seq, m.id, m.body, m.native, m.created_at,
    m.user_id, m.agent_id, m.run_id
from {schema}.message m where @wall(m) and m.graph_again order by m.thread, m.seq limit %(limit)s

-- name: unseen_owners
-- Give owners with facts that were not looked through for names.
select o.user_id, o.agent_id, o.run_id, o.graph_to, o.last_fact from {schema}.owner o
where @wall(o) and o.graph_to < o.last_fact order by o.user_id, o.agent_id, o.run_id limit %(limit)s

-- name: unseen_facts
-- Give the exact owner's next standing facts after a key.
select @fact(f) from {schema}.fact f
where @exact(f) and f.key > %(after)s and f.key <= %(upto)s and f.retired_at is null order by f.key limit %(limit)s

-- name: known_mentions
-- Give the mentions that are in these messages and facts.
select m.number, m.entity, m.message, m.fact, m.fact_version, m.span_start, m.span_end, m.surface, m.at
from {schema}.mention m
where @reached(m) and (m.message = any(%(messages)s::bigint[]) or m.fact = any(%(facts)s::uuid[]))
order by m.number
