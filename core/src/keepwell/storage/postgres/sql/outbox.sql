-- name: read_projection
-- Give the tenant's projection, for which cluster it is, how many transactions have ended, and what waits.
select p.target, p.identity::text || @cluster, p.since, @stamp,
    (select count(*) from {schema}.outbox o where @wall(o)),
    (select min(o.at) from {schema}.outbox o where @wall(o))
from {schema}.projection p where @wall(p)

-- name: hold_projection
-- Give the target of the tenant's projection and hold its row.
select p.target from {schema}.projection p where @wall(p) for update

-- name: set_projection
-- Note from now on what changes, for a new target.
insert into {schema}.projection as p (tenant, target)
select %(tenant)s, %(target)s where @gate
on conflict (tenant) do update set
    target = excluded.target, identity = gen_random_uuid(), since = clock_timestamp()

-- name: drop_projection
-- Do not note any more what changes.
delete from {schema}.projection p where @wall(p)

-- name: drop_outbox
-- Drop all that was noted.
delete from {schema}.outbox o where @wall(o)

-- name: read_outbox
-- Give what was noted after a position, by transactions that have ended; with what is common to all of it.
select o.kind, o.id, o.written_by::text, o.number from {schema}.outbox o
where @wall(o) and (o.written_by, o.number) > (%(xid)s::text::xid8, %(number)s::bigint)
    and o.written_by < pg_snapshot_xmin(pg_current_snapshot())
order by o.written_by, o.number limit %(limit)s

-- name: prune_outbox
-- Drop what was noted up to a position.
with gone as (
    delete from {schema}.outbox o
    where @wall(o) and (o.written_by, o.number) <= (%(xid)s::text::xid8, %(number)s::bigint) returning 1
)
select count(*) from gone

-- name: stamp
-- Give how many transactions have ended, and for which cluster and tenant that counts.
select @stamp, (select p.identity::text || @cluster from {schema}.projection p where @wall(p)) where @gate

-- name: entity_state
-- What a projection says of an entity.
json_build_object(
    'user_id', e.user_id, 'agent_id', e.agent_id, 'run_id', e.run_id, 'name', e.name, 'type', e.type,
    'version', e.version, 'merged_into', e.merged_into, 'aliases', (
        select coalesce(json_agg(n.shown order by n.folded, n.shown), '[]') from (
            select n.folded, n.shown from {schema}.name n
            where @reached(n) and n.entity = e.id and n.folded <> e.folded
            union
            select n.folded, n.shown from {schema}.entity m join {schema}.name n on n.entity = m.id
            where @reached(m) and @reached(n) and m.merged_into = e.id and n.folded <> e.folded
        ) n
    ),
    'first_seen', (extract(epoch from e.first_seen) * 1000000)::bigint,
    'last_seen', (extract(epoch from e.last_seen) * 1000000)::bigint,
    'embedding', encode(sha256(@use(packed_embedding)), 'hex')
)::text

-- name: packed_embedding
-- The embedding of an entity in the space in use.
(
    select {extensions}.vector_send(v.embedding) from {schema}.entity_vector v
    where @reached(v) and v.entity = e.id and v.space = e.space
)

-- name: projected_entity
-- Give states of entities by id, those that are there, with their embeddings: the states have hashes of these.
select e.id::text, @use(entity_state), @use(packed_embedding) from {schema}.entity e
where @reached(e) and e.id = any(%(ids)s::text[]::uuid[]) and e.retired_at is null

-- name: scan_entity
-- Give ids of entities in their order, after one; an id that is before all others stands for none.
select e.id::text from {schema}.entity e
where @wall(e) and e.retired_at is null and e.id > coalesce(%(after)s::uuid, '00000000-0000-0000-0000-000000000000')
order by e.id limit %(limit)s

-- name: tally_entity
-- Count entities and add up their marks.
select count(*), coalesce(sum(@mark(s)), 0)::bigint from (
    select @use(entity_state) as state from {schema}.entity e where @wall(e) and e.retired_at is null
) s

-- name: relation_state
-- What a projection says of a relation.
json_build_object(
    'user_id', r.user_id, 'agent_id', r.agent_id, 'run_id', r.run_id, 'subject', coalesce(s.merged_into, s.id),
    'predicate', r.predicate, 'object', coalesce(o.merged_into, o.id), 'version', r.version,
    'valid_from', (extract(epoch from r.valid_from) * 1000000)::bigint,
    'valid_to', (extract(epoch from r.valid_to) * 1000000)::bigint,
    'recorded_at', (extract(epoch from r.recorded_at) * 1000000)::bigint,
    'grounds', (
        select coalesce(json_agg(g.told order by g.told), '[]') from (
            select distinct case when g.message is not null then 'm:' || g.message
                else 'f:' || g.fact || ':' || g.fact_version end as told
            from {schema}.ground g where @reached(g) and g.item = r.id and g.version = r.version
        ) g
    )
)::text

-- name: relation_ends
-- Where a projected relation is from: it stands, and so do its ends.
cross join lateral (
    select s.id, s.merged_into from {schema}.entity s
    where @reached(s) and s.id = r.subject and s.retired_at is null and not exists (
        select 1 from {schema}.entity w where @reached(w) and w.id = s.merged_into and w.retired_at is not null
    ) offset 0
) s
cross join lateral (
    select o.id, o.merged_into from {schema}.entity o
    where @reached(o) and o.id = r.object and o.retired_at is null and not exists (
        select 1 from {schema}.entity w where @reached(w) and w.id = o.merged_into and w.retired_at is not null
    ) offset 0
) o

-- name: projected_relation
-- Give states of relations by id, those that are there.
select r.id::text, @use(relation_state) from {schema}.relation r
@use(relation_ends)
where @reached(r) and r.id = any(%(ids)s::text[]::uuid[]) and r.retired_at is null

-- name: scan_relation
-- Give ids of relations in their order, after one; an id that is before all others stands for none.
select r.id::text from {schema}.relation r
where @wall(r) and r.retired_at is null and r.id > coalesce(%(after)s::uuid, '00000000-0000-0000-0000-000000000000')
order by r.id limit %(limit)s

-- name: tally_relation
-- Count relations and add up their marks.
select count(*), coalesce(sum(@mark(t)), 0)::bigint from (
    select @use(relation_state) as state from {schema}.relation r
    @use(relation_ends)
    where @wall(r) and r.retired_at is null
) t

-- name: mention_state
-- What a projection says of a mention.
json_build_object(
    'user_id', m.user_id, 'agent_id', m.agent_id, 'run_id', m.run_id, 'entity', coalesce(e.merged_into, e.id),
    'message', m.message, 'fact', m.fact, 'start', m.span_start, 'end', m.span_end, 'surface', m.surface,
    'fact_version', case when m.fact is not null then m.fact_version end,
    'at', (extract(epoch from m.at) * 1000000)::bigint
)::text

-- name: mention_entity
-- Where a projected mention is from: its entity is there.
cross join lateral (
    select e.id, e.merged_into from {schema}.entity e
    where @reached(e) and e.id = m.entity and e.retired_at is null and not exists (
        select 1 from {schema}.entity w where @reached(w) and w.id = e.merged_into and w.retired_at is not null
    ) offset 0
) e

-- name: projected_mention
-- Give states of mentions by number, those that are there.
select m.number::text, @use(mention_state) from {schema}.mention m
@use(mention_entity)
where @reached(m) and m.number = any(%(ids)s::text[]::bigint[])

-- name: scan_mention
-- Give ids of mentions in their order, after one; an id that is before all others stands for none.
select m.number::text from {schema}.mention m
where @wall(m) and m.number > coalesce(%(after)s::bigint, 0)
order by m.number limit %(limit)s

-- name: tally_mention
-- Count mentions and add up their marks.
select count(*), coalesce(sum(@mark(t)), 0)::bigint from (
    select @use(mention_state) as state from {schema}.mention m
    @use(mention_entity)
    where @wall(m)
) t

-- name: fact_state
-- What a projection says of a fact.
json_build_object(
    'user_id', f.user_id, 'agent_id', f.agent_id, 'run_id', f.run_id, 'number', f.key,
    'reopened', f.reopened, 'text', f.body -> 'text', 'subject', f.actor,
    'kind', f.kind, 'key', nullif(f.fact_key, ''), 'version', f.version,
    'valid_from', (extract(epoch from f.valid_from) * 1000000)::bigint,
    'valid_to', (extract(epoch from f.valid_to) * 1000000)::bigint,
    'recorded_at', (extract(epoch from f.recorded_at) * 1000000)::bigint,
    'messages', (
        select coalesce(json_agg(s.message order by s.message), '[]') from (
            select distinct s.message from {schema}.source s
            where @reached(s) and s.fact = f.id and s.version = f.version and s.message is not null
        ) s
    ),
    'facts', (
        select coalesce(json_agg(s.source_fact order by s.source_fact), '[]') from (
            select distinct s.source_fact from {schema}.source s
            where @reached(s) and s.fact = f.id and s.version = f.version and s.source_fact is not null
        ) s
    )
)::text

-- name: projected_fact
-- Give states of facts by id, those that stand.
select f.id::text, @use(fact_state) from {schema}.fact f
where @reached(f) and f.id = any(%(ids)s::text[]::uuid[]) and f.retired_at is null

-- name: scan_fact
-- Give ids of facts in their order, after one; an id that is before all others stands for none.
select f.id::text from {schema}.fact f
where @wall(f) and f.retired_at is null and f.id > coalesce(%(after)s::uuid, '00000000-0000-0000-0000-000000000000')
order by f.id limit %(limit)s

-- name: tally_fact
-- Count facts and add up their marks.
select count(*), coalesce(sum(@mark(t)), 0)::bigint from (
    select @use(fact_state) as state from {schema}.fact f where @wall(f) and f.retired_at is null
) t

-- name: message_state
-- What a projection says of a message.
json_build_object(
    'user_id', m.user_id, 'agent_id', m.agent_id, 'run_id', m.run_id, 'thread', m.thread, 'thread_id', t.id,
    'seq', m.seq, 'message_id', m.id, 'role', m.body -> 'role', 'speaker', m.actor,
    'created_at', (extract(epoch from m.created_at) * 1000000)::bigint
)::text

-- name: message_spoken
-- Where a projected message is from: something rests on it.
cross join lateral (
    select t.id from {schema}.thread t where @reached(t) and t.key = m.thread and (
        exists (select 1 from {schema}.mention n where @reached(n) and n.message = m.key)
        or exists (select 1 from {schema}.source s where @reached(s) and s.message = m.key and s.version > 0)
    ) offset 0
) t

-- name: projected_message
-- Give states of messages by number, those that something rests on.
select m.key::text, @use(message_state) from {schema}.message m
@use(message_spoken)
where @reached(m) and m.key = any(%(ids)s::text[]::bigint[])

-- name: scan_message
-- Give ids of messages in their order, after one; an id that is before all others stands for none.
select m.key::text from {schema}.message m
where @wall(m) and m.key > coalesce(%(after)s::bigint, 0)
order by m.key limit %(limit)s

-- name: tally_message
-- Count messages that something rests on and add up their marks.
select count(*), coalesce(sum(@mark(x)), 0)::bigint from (
    select @use(message_state) as state from {schema}.message m
    @use(message_spoken)
    where @wall(m)
) x
