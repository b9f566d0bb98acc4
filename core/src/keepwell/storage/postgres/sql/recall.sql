-- name: weigh
-- Count the messages and terms of a scope.
select coalesce(sum(t.messages), 0)::bigint, coalesce(sum(t.length), 0)::bigint
from {schema}.thread t where @scope(t)

-- name: load_whole
-- Give all that a scope holds, as columns, with the transaction snapshot that it was read under.
select pg_current_snapshot()::text, @server, extract(epoch from clock_timestamp())::float8, m.*, v.*, null::bytea, @active
from (
    select @columns(m) from {schema}.message m where @scope(m)
) m cross join (
    select @vectors(v) from {schema}.vector v where @scope(v) and v.space = %(space)s
) v

-- name: load_since
-- Give what changed in a scope since a transaction snapshot, as columns.
select pg_current_snapshot()::text, @server, extract(epoch from clock_timestamp())::float8, m.*, v.*, r.*, @active
from (
    select @columns(m) from (
        select * from {schema}.message m where @scope(m) and m.written_by >= %(newer)s::xid8
        union all
        select * from {schema}.message m
        where @scope(m) and m.written_by = any(%(running)s::xid8[]) and m.written_by < %(newer)s::xid8
    ) m
) m cross join (
    select @vectors(v) from (
        select * from {schema}.vector v where @scope(v) and v.space = %(space)s and v.written_by >= %(newer)s::xid8
        union all
        select * from {schema}.vector v
        where @scope(v) and v.space = %(space)s
            and v.written_by = any(%(running)s::xid8[]) and v.written_by < %(newer)s::xid8
    ) v
) v cross join (
    select array_send(array_agg(r.message)) from {schema}.removal r
    where @scope(r) and (r.written_by >= %(newer)s::xid8 or r.written_by = any(%(running)s::xid8[]))
) r

-- name: term_frequencies
-- Count in how many messages of a scope each term is, posted or not yet.
select f.term, sum(f.messages)::bigint
from (
    select p.term, count(*) as messages from {schema}.posting p
    where @scope(p) and p.term = any(%(terms)s) group by p.term
    union all
    select w.term, count(*) from {schema}.thread t
    join {schema}.message m on m.thread = t.key and m.seq > t.posted_to
    join unnest(%(terms)s::text[]) as w (term) on w.term = any(string_to_array(m.terms, ' '))
    where @scope(t) and t.posted_to < t.last_seq and @within(m)
    group by w.term
) f
group by f.term

-- name: candidates
-- Give the best by keyword and by vector, the newest, and the neighbours of all of them, as columns.
with weights as materialized (
    select * from unnest(%(terms)s::text[], %(weights)s::float8[]) as w (term, weight)
), frequency as (
    select p.message, p.term, p.frequency from {schema}.posting p
    where @scope(p) and p.term = any(%(terms)s)
    union all
    select m.key, p.term, count(*) from {schema}.thread t
    join {schema}.message m on m.thread = t.key and m.seq > t.posted_to
    cross join string_to_table(m.terms, ' ') as p (term)
    where @scope(t) and t.posted_to < t.last_seq and @within(m) and p.term = any(%(terms)s)
    group by m.key, p.term
), keyword as (
    select f.message as key from frequency f join weights w on w.term = f.term
    where %(within)s::bigint[] is null or f.message = any(%(within)s)
    group by f.message order by sum(w.weight * f.frequency / (f.frequency + 1.5)) desc limit %(limit)s
), mine as materialized (
    select v.message, v.embedding from {schema}.vector v
    where @scope(v) and v.space = %(space)s and %(vector)s::{vector} is not null
        and (%(within)s::bigint[] is null or v.message = any(%(within)s))
), semantic as (
    select m.message as key from mine m order by m.embedding operator({extensions}.<#>) %(vector)s::{vector}
    limit %(limit)s
), newest as (
    select n.key from (
        select t.key, t.last_seq from {schema}.thread t where @scope(t) order by t.updated_at desc limit %(newest)s
    ) t cross join lateral (
        select m.key from {schema}.message m
        where @within(m) and m.thread = t.key and (%(within)s::bigint[] is null or m.key = any(%(within)s))
            and (%(within)s::bigint[] is not null or m.seq > t.last_seq - 64)
        order by m.seq desc limit 4
    ) n
), hit as (
    select key from keyword union select key from semantic union select key from newest
), near as (
    select m.key, m.thread, m.seq from hit h join {schema}.message m on m.key = h.key where @within(m)
), chosen as (
    select n.key from near n
    union
    select m.key from near n join {schema}.message m
        on m.thread = n.thread and m.seq between n.seq - 2 and n.seq + 2
    where @within(m)
)
select m.*, v.*
from (
    select @columns(m) from chosen c join {schema}.message m on m.key = c.key where @within(m)
) m cross join (
    select @vectors(v) from chosen c join {schema}.vector v on v.message = c.key
    where @within(v) and v.space = %(space)s
) v

-- name: match_metadata
-- Give the keys of a scope's messages whose metadata contains a document.
select array_send(array_agg(m.key)) from {schema}.message m where @scope(m) and m.labels @> %(where)s::jsonb

-- name: within
-- Give the keys of a scope's messages in a thread and a span of time, with metadata that contains a document.
select array_agg(m.key) from {schema}.message m
where @scope(m) and (%(thread)s::uuid is null or m.thread = %(thread)s)
    and (%(since)s::timestamptz is null or m.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or m.created_at < %(until)s)
    and (%(as_of)s::timestamptz is null or m.recorded_at <= %(as_of)s)
    and (%(where)s::jsonb is null or m.labels @> %(where)s)

-- name: fetch
-- Give messages by key as they are now, each with its neighbours in the thread, not far beyond deleted ones.
with hit as (
    select m.key, m.thread, m.seq from {schema}.message m where @within(m) and m.key = any(%(keys)s)
), near as (
    select h.key as hit, h.thread, h.seq, 0 as place from hit h
    union all
    select h.key, h.thread, b.seq, -1 from hit h cross join lateral (
        select m.seq from {schema}.message m
        where @within(m) and m.thread = h.thread and m.seq < h.seq and m.seq >= h.seq - 64 - %(neighbours)s
        order by m.seq desc limit %(neighbours)s
    ) b
    union all
    select h.key, h.thread, a.seq, 1 from hit h cross join lateral (
        select m.seq from {schema}.message m
        where @within(m) and m.thread = h.thread and m.seq > h.seq and m.seq <= h.seq + 64 + %(neighbours)s
        order by m.seq limit %(neighbours)s
    ) a
)
select n.hit, n.place, t.id, m.user_id, m.agent_id, m.run_id, m.seq, m.id, m.body, m.native, m.created_at
from near n
join {schema}.message m on m.thread = n.thread and m.seq = n.seq
join {schema}.thread t on t.key = n.thread
where @within(m) and @within(t)
order by n.hit, m.seq

-- name: prune
-- Drop marks of removals that are older than any snapshot in use.
with gone as (
    delete from {schema}.removal r where @wall(r) and r.at < clock_timestamp() - %(age)s::interval returning 1
)
select count(*) from gone
