-- name: index_vectors
-- Copy vectors of a user that are not in the index yet, and give how many.
with batch as (
    select v.message, v.chunk from {schema}.vector v
    where @wall(v) and v.user_id = %(user_id)s and v.space = %(space)s and not v.indexed
    order by v.message, v.chunk limit %(limit)s for update
), marked as (
    update {schema}.vector v set indexed = true from batch b
    where @wall(v) and v.message = b.message and v.chunk = b.chunk and v.space = %(space)s
    returning v.user_id, v.agent_id, v.run_id, v.message, v.chunk, v.embedding
), copied as (
    insert into {schema}.nearest
        (tenant, user_id, agent_id, run_id, space, message, chunk, dimension, embedding)
    select %(tenant)s, m.user_id, m.agent_id, m.run_id, %(space)s, m.message, m.chunk,
        {extensions}.vector_dims(m.embedding), m.embedding
    from marked m
    on conflict (message, space, chunk) do update set
        user_id = excluded.user_id, agent_id = excluded.agent_id, run_id = excluded.run_id,
        dimension = excluded.dimension, embedding = excluded.embedding
    returning 1
)
select count(*) from copied

-- name: sum_vectors
-- Keep the sum and the count of the vectors of each owner of a user.
insert into {schema}.centre as c (tenant, user_id, agent_id, run_id, space, vectors, total)
select %(tenant)s, v.user_id, v.agent_id, v.run_id, v.space, count(*), {extensions}.sum(v.embedding)
from {schema}.vector v where @wall(v) and v.user_id = %(user_id)s and v.space = %(space)s
group by v.user_id, v.agent_id, v.run_id, v.space
on conflict (tenant, user_id, agent_id, run_id, space) do update set
    vectors = excluded.vectors, total = excluded.total

-- name: note_large
-- Note which users of threads and facts have so much that the vectors are worth an index, where some are not in it.
insert into {schema}.due (tenant, kind, user_id, agent_id, run_id, item)
select %(tenant)s, 'index', u.user_id, '', '', ''
from (
    select t.user_id from {schema}.thread t where @wall(t) and t.key = any(%(threads)s)
    union
    select f.user_id from {schema}.fact f where @reached(f) and f.key = any(%(facts)s)
) u
where @use(size_of) >= %(large)s
    and exists (select 1 from {schema}.vector v where @wall(v) and v.user_id = u.user_id and not v.indexed)
order by u.user_id
on conflict (tenant, kind, user_id, agent_id, run_id, item) do update set put_at = clock_timestamp()

-- name: size_of
-- How many messages and facts there are of user `u`.
(
    select coalesce(sum(t.messages), 0) from {schema}.thread t where @wall(t) and t.user_id = u.user_id
) + (
    select coalesce(sum(o.facts), 0) from {schema}.owner o where @wall(o) and o.user_id = u.user_id
)

-- name: centres
-- Give how many vectors of a scope are in the index, their sum, and how many are in the index at all (null: there is
-- none that serves this dimension here).
select coalesce(sum(c.vectors), 0)::bigint, {extensions}.vector_send({extensions}.sum(c.total)), (
    select greatest(i.reltuples, 0)::bigint from pg_class i
    where i.oid = to_regclass('{schema}.nearest_' || %(dimension)s::text) and (
        select string_to_array(e.extversion, '.')::integer[] >= '{{0,8}}' from pg_extension e where e.extname = 'vector'
    )
)
from {schema}.centre c where @scope(c) and c.space = %(space)s

-- name: nearest_exact
-- Give the vectors of a scope that are nearest to one, by comparing it with each; with their sum and count.
with mine as materialized (
    select v.message, v.embedding from {schema}.vector v
    where @scope(v) and v.space = %(space)s and (%(within)s::bigint[] is null or v.message = any(%(within)s))
), best as (
    select m.message from mine m order by m.embedding operator({extensions}.<#>) %(vector)s::{vector} limit %(limit)s
)
select (select array_agg(b.message) from best b), count(*),
    {extensions}.vector_send({extensions}.sum(m.embedding)) from mine m

-- name: nearest_indexed
-- Give the vectors of a scope that are nearest to one: from the index, and of those that are not in it yet.
-- It is written for 256 numbers, because an index's expression names its dimension; see nearest.py for others.
-- The settings are gates like that of the tenant: they are set before the index is read, for this statement alone.
-- Owner and space are hidden from other indexes, so that no planner takes the one on the user and sorts.
select array_agg(f.message) from (
    (
        select n.message from {schema}.nearest n
        where (
                select set_config('hnsw.iterative_scan', 'relaxed_order', true) is not null
                    and set_config('hnsw.ef_search', %(breadth)s::text, true) is not null
                    and set_config('hnsw.max_scan_tuples', %(most)s::text, true) is not null
            )
            and @walked(n) and coalesce(n.space = %(space)s, false) and n.dimension = 256
        order by n.embedding::{vector}(256) operator({extensions}.<#>) %(vector)s::{vector}(256)
        limit %(limit)s
    ) union all (
        select w.message from (
            select v.message, v.embedding from {schema}.vector v
            where @scope(v) and v.space = %(space)s and not v.indexed offset 0
        ) w order by w.embedding operator({extensions}.<#>) %(vector)s::{vector} limit %(limit)s
    )
) f
