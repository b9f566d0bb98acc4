-- name: weigh
-- Count the messages and standing facts of a scope, and their terms.
select (coalesce(t.messages, 0) + coalesce(o.facts, 0))::bigint, (coalesce(t.length, 0) + coalesce(o.length, 0))::bigint
from (
    select sum(t.messages) as messages, sum(t.length) as length from {schema}.thread t where @scope(t)
) t cross join (
    select sum(o.facts) as facts, sum(o.length) as length from {schema}.owner o where @scope(o)
) o

-- name: load_whole
-- Give all that a scope holds, as columns, with the transaction snapshot that it was read under.
select pg_current_snapshot()::text, @server, extract(epoch from clock_timestamp())::float8, m.*, f.*, v.*, null::bytea,
    @active
from (
    select @columns(m) from {schema}.message m where @scope(m)
) m cross join (
    select @facts(f) from {schema}.fact f where @scope(f)
) f cross join (
    select @vectors(v) from {schema}.vector v where @scope(v) and v.space = %(space)s
) v

-- name: load_since
-- Give what changed in a scope since a transaction snapshot, as columns: messages, vectors, and keys of what went or of
-- versions of facts that were written. Those are read by `load_facts`: here they would cost each recall 0.14 ms more of
-- planning, half of all that it takes.
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

-- name: load_facts
-- Give versions of facts by key, as columns.
select @facts(f) from {schema}.fact f where @within(f) and f.key = any(%(keys)s)

-- name: term_frequencies
-- Count in how many messages and standing facts of a scope each term is, posted or not yet.
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
-- Give the best by keyword and by vector, the newest, and the neighbours of all of them, as columns: messages, and
-- facts that stand and are not re-opened.
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
), newest as (
    select n.key from (
        select t.key, t.last_seq from {schema}.thread t where @scope(t) order by t.updated_at desc limit %(newest)s
    ) t cross join lateral (
        select m.key from {schema}.message m
        where @within(m) and m.thread = t.key and (%(within)s::bigint[] is null or m.key = any(%(within)s))
            and (%(within)s::bigint[] is not null or m.seq > t.last_seq - 64)
        order by m.seq desc limit 4
    ) n
), latest as (
    select -f.key as key from (
        select f.key from {schema}.fact f
        where @scope(f) and f.retired_at is null and not f.reopened
            and (%(within)s::bigint[] is null or -f.key = any(%(within)s))
        order by f.recorded_at desc limit %(newest)s
    ) f
), hit as (
    select key from keyword union select unnest(%(nearest)s::bigint[])
    union select key from newest union select key from latest
), fact as (
    select f.key from hit h cross join lateral (
        select f.key from {schema}.fact f
        where @within(f) and f.key = -h.key and f.retired_at is null and not f.reopened offset 0
    ) f
    where h.key < 0
), place as (
    -- By number, because a span would be looked for in the whole thread (measured: 38 ms instead of 1).
    select distinct m.thread, m.seq + s.step as seq
    from hit h join {schema}.message m on m.key = h.key cross join generate_series(-2, 2) as s (step)
    where @within(m)
), chosen as materialized (
    select m.key, m.thread, m.seq, m.created_at, m.recorded_at, m.terms, m.actor, m.signals
    from place p join {schema}.message m on m.thread = p.thread and m.seq = p.seq where @within(m)
)
select m.*, f.*, v.*
from (
    select @columns(c) from chosen c
) m cross join (
    select @facts(f) from fact c join {schema}.fact f on f.key = c.key where @within(f)
) f cross join (
    select @vectors(v) from (select c.key from chosen c union all select -f.key from fact f) c
    join {schema}.vector v on v.message = c.key
    where @within(v) and v.space = %(space)s
) v

-- name: candidates_all
-- Give all messages of a scope, its facts that stand and are not re-opened, and their vectors, as columns.
select m.*, f.*, v.*
from (
    select @columns(m) from {schema}.message m where @scope(m)
) m cross join (
    select @facts(f) from {schema}.fact f where @scope(f) and f.retired_at is null and not f.reopened
) f cross join (
    select @vectors(v) from {schema}.vector v where @scope(v) and v.space = %(space)s
) v

-- name: match_metadata
-- Give the keys of a scope's messages and facts whose metadata contains a document.
select array_send(array_agg(k.key)) from (
    select m.key from {schema}.message m where @scope(m) and m.labels @> %(where)s::jsonb
    union all
    select -f.key from {schema}.fact f where @scope(f) and f.labels @> %(where)s::jsonb
) k

-- name: within
-- Give the keys of a scope's messages in a thread and a span of time, with metadata that contains a document, and
-- of its standing facts where no thread is asked for.
select array_agg(k.key) from (
    select m.key from {schema}.message m
    where @scope(m) and (%(thread)s::uuid is null or m.thread = %(thread)s)
        and (%(since)s::timestamptz is null or m.created_at >= %(since)s)
        and (%(until)s::timestamptz is null or m.created_at < %(until)s)
        and (%(as_of)s::timestamptz is null or m.recorded_at <= %(as_of)s)
        and (%(where)s::jsonb is null or m.labels @> %(where)s)
    union all
    select -f.key from {schema}.fact f
    where @scope(f) and f.retired_at is null and not f.reopened and %(thread)s::uuid is null
        and (%(since)s::timestamptz is null or coalesce(f.valid_from, f.recorded_at) >= %(since)s)
        and (%(until)s::timestamptz is null or coalesce(f.valid_from, f.recorded_at) < %(until)s)
        and (%(as_of)s::timestamptz is null or f.recorded_at <= %(as_of)s)
        and (%(where)s::jsonb is null or f.labels @> %(where)s)
) k

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
