-- name: active_space
-- Give the space whose vectors are in use.
select s.key, s.model, s.dimension from {schema}.space s where @wall(s) and s.active

-- name: open_space
-- Make a space, or find it.
insert into {schema}.space as s (tenant, model, dimension)
select %(tenant)s, %(model)s, %(dimension)s::integer where @gate
on conflict (tenant, model, dimension) do update set model = excluded.model
returning s.key, s.model, s.dimension, s.active

-- name: activate_first
-- Make a space the active one where none is yet.
update {schema}.space s set active = true
where @wall(s) and s.key = %(space)s
    and not exists (select 1 from {schema}.space o where @wall(o) and o.active)

-- name: put_vectors
-- Keep vectors of messages, and of standing facts (below 0), as they were embedded, and move the marks of threads past
-- what has no gap now, where every vector was kept and the space is the one in use; a row comes back where it is.
with item as materialized (
    select * from unnest(%(messages)s::bigint[], %(chunks)s::integer[], %(versions)s::text[])
        with ordinality as i (message, chunk, version, n)
), embedded as (
    select m.user_id, m.agent_id, m.run_id, i.message, i.chunk, i.n
    from item i join {schema}.message m on m.key = i.message and (i.version = '' or m.written_by = i.version::xid8)
    where @wall(m)
    union all
    select f.user_id, f.agent_id, f.run_id, i.message, i.chunk, i.n
    from item i cross join lateral (
        select f.user_id, f.agent_id, f.run_id from {schema}.fact f
        where @reached(f) and f.key = -i.message and f.retired_at is null and i.version in ('', f.version::text)
        offset 0
    ) f
    where i.message < 0
), kept as (
    insert into {schema}.vector (tenant, user_id, agent_id, run_id, space, message, chunk, embedding)
    select %(tenant)s, e.user_id, e.agent_id, e.run_id, s.key, e.message, e.chunk,
        (%(vectors)s::real[])[(e.n - 1) * s.dimension + 1 : e.n * s.dimension]::{vector}
    from embedded e join {schema}.space s on s.key = %(space)s
    where @wall(s)
    on conflict (message, space, chunk) do update set
        embedding = excluded.embedding, written_by = pg_current_xact_id(), indexed = false
    returning 1
), advanced as (
    update {schema}.thread t set space = %(space)s, embedded_to = d.last
    from unnest(%(threads)s::uuid[], %(firsts)s::bigint[], %(lasts)s::bigint[]) as d (thread, first, last)
    where @wall(t) and t.key = d.thread and d.last > case when t.space = %(space)s then t.embedded_to else 0 end
        and d.first <= case when t.space = %(space)s then t.embedded_to else 0 end + 1
        and (select count(*) from kept) = cardinality(%(messages)s::bigint[])
        and exists (select 1 from {schema}.space s where @wall(s) and s.key = %(space)s and s.active)
)
select 1 from {schema}.space s where @wall(s) and s.key = %(space)s and s.active

-- name: due_threads
-- Give threads with messages that have no vector in the active space yet, longest waiting first.
select t.key, case when t.space = %(space)s then t.embedded_to else 0 end, t.last_seq
from {schema}.thread t
where @wall(t) and t.last_seq > case when t.space = %(space)s then t.embedded_to else 0 end
order by t.updated_at limit %(limit)s

-- name: due_messages
-- Give messages of a thread after a place, each with whether it has its vector in a space (or no words).
select m.key, m.seq, m.body, m.written_by::text, m.terms = '' or exists (
    select 1 from {schema}.vector v where @wall(v) and v.message = m.key and v.space = %(space)s
)
from {schema}.message m where @wall(m) and m.thread = %(key)s and m.seq > %(after)s
order by m.seq limit %(limit)s

-- name: missing_vectors
-- Give messages with words that lack a vector in a space, by key.
select m.key, m.thread, m.seq, m.body, m.written_by::text from {schema}.message m
where @wall(m) and m.key > %(after)s and m.terms <> '' and not exists (
    select 1 from {schema}.vector v where @wall(v) and v.message = m.key and v.space = %(space)s
)
order by m.key limit %(limit)s

-- name: missing_fact_vectors
-- Give standing facts with words that lack a vector in a space, by key.
select f.key, f.id, f.body, f.version::text from {schema}.fact f
where @wall(f) and f.key > %(after)s and f.retired_at is null and f.terms <> '' and not exists (
    select 1 from {schema}.vector v where @wall(v) and v.message = -f.key and v.space = %(space)s
)
order by f.key limit %(limit)s

-- name: hold_spaces
-- Hold the tenant's spaces, so that no vectors of them are put meanwhile.
select s.key from {schema}.space s where @wall(s) order by s.key for update

-- name: switch_off
-- Take the active space out of use.
update {schema}.space s set active = false where @wall(s) and s.active

-- name: switch_on
-- Bring a space into use.
update {schema}.space s set active = true where @wall(s) and s.key = %(space)s returning s.key

-- name: switch_threads
-- Note for every thread that its vectors are those of the new space.
update {schema}.thread t set space = %(space)s, embedded_to = t.last_seq where @wall(t)

-- name: drop_other_spaces
-- Remove the vectors of all other spaces, and the spaces.
with vector as (
    delete from {schema}.vector v where @wall(v) and v.space <> %(space)s
), embedding as (
    delete from {schema}.entity_vector v where @wall(v) and v.space <> %(space)s
)
delete from {schema}.space s where @wall(s) and s.key <> %(space)s
