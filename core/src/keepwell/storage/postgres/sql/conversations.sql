-- name: due_after_append
-- What an append makes of how far the thread is formed and when it is due, in its "do update set".
formed_to = case
    when excluded.due_at is null and t.formed_to = t.last_seq then t.last_seq + excluded.last_seq
    else t.formed_to
end,
due_at = case
    when excluded.due_at is null then t.due_at
    when t.form_attempts > 0 then greatest(t.due_at, excluded.due_at)
    when t.last_seq + excluded.last_seq - t.formed_to >= %(every)s::bigint
        then least(t.due_at, statement_timestamp())
    else excluded.due_at
end,
due_from = case
    when excluded.due_at is null then t.due_from
    when t.form_attempts > 0 then coalesce(t.due_from, excluded.due_at)
    when t.last_seq + excluded.last_seq - t.formed_to >= %(every)s::bigint
        then least(t.due_from, statement_timestamp())
    else least(t.due_from, excluded.due_at)
end,
oldest = least(t.oldest, excluded.oldest)

-- name: append
-- Put a batch at the end of a thread, made where it is missing; one statement, ordered by the thread's row lock.
with batch as materialized (
    select * from json_to_recordset(%(batch)s::json) as b (
        n bigint, id text, body text, native text, labels text, digest text, created_at timestamptz, terms text,
        actor text, signals text
    )
), thread as (
    insert into {schema}.thread as t
        (tenant, user_id, agent_id, run_id, id, last_seq, messages, length, formed_to, due_at, due_from, oldest)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(thread)s,
        %(count)s::bigint, %(count)s::bigint, %(length)s::bigint,
        case when %(pause)s::float8 is null then %(count)s::bigint else 0 end,
        statement_timestamp() + %(pause)s::float8 * interval '1 s',
        statement_timestamp() + %(pause)s::float8 * interval '1 s', %(oldest)s
    where @gate
    on conflict (tenant, user_id, agent_id, run_id, id) do update set
        last_seq = t.last_seq + excluded.last_seq,
        messages = t.messages + excluded.messages,
        length = t.length + excluded.length,
        @use(due_after_append),
        updated_at = clock_timestamp()
    returning t.key, t.last_seq - %(count)s::bigint as base
), message as (
    insert into {schema}.message
        (tenant, user_id, agent_id, run_id, thread, seq, id, body, native, labels, digest, terms, actor, signals,
            created_at)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, t.key, t.base + b.n, b.id, b.body::json, b.native::json,
        b.labels::jsonb, decode(b.digest, 'hex'), b.terms, b.actor, coalesce(b.signals, ''), b.created_at
    from thread t cross join batch b
    returning key, seq, written_by
)
select t.key, m.seq, m.key, m.written_by::text from thread t cross join message m order by m.seq

-- name: append_one
-- Put one message at the end of a thread, made where it is missing; what append does, with less to take apart.
with thread as (
    insert into {schema}.thread as t
        (tenant, user_id, agent_id, run_id, id, last_seq, messages, length, formed_to, due_at, due_from, oldest)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(thread)s, 1, 1, %(length)s::bigint,
        case when %(pause)s::float8 is null then 1 else 0 end,
        statement_timestamp() + %(pause)s::float8 * interval '1 s',
        statement_timestamp() + %(pause)s::float8 * interval '1 s', %(created_at)s
    where @gate
    on conflict (tenant, user_id, agent_id, run_id, id) do update set
        last_seq = t.last_seq + 1,
        messages = t.messages + 1,
        length = t.length + excluded.length,
        @use(due_after_append),
        updated_at = clock_timestamp()
    returning t.key, t.last_seq
)
insert into {schema}.message as m
    (tenant, user_id, agent_id, run_id, thread, seq, id, body, native, labels, digest, terms, actor, signals, created_at)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, t.key, t.last_seq, %(id)s, %(body)s::json,
    %(native)s::json, %(labels)s::jsonb, %(digest)s, %(terms)s, %(actor)s, %(signals)s, %(created_at)s
from thread t
returning m.thread, m.seq, m.key, m.written_by::text

-- name: hold_by_key
-- Hold a thread's row, and give how far its postings reach.
select t.posted_to, t.last_seq from {schema}.thread t where @wall(t) and t.key = %(key)s for update

-- name: post
-- Write the postings of a thread's messages that have none yet. The thread's row must be held by an earlier
-- statement: this one's snapshot has to be younger than the lock.
with posting as (
    insert into {schema}.posting (tenant, user_id, term, message, agent_id, run_id, frequency)
    select %(tenant)s, m.user_id, p.term, m.key, m.agent_id, m.run_id, least(count(*), 32767)
    from {schema}.message m cross join string_to_table(m.terms, ' ') as p (term)
    where @wall(m) and m.thread = %(key)s and m.seq > %(posted_to)s and p.term <> ''
    group by m.key, m.user_id, m.agent_id, m.run_id, p.term
)
update {schema}.thread t set posted_to = t.last_seq where @wall(t) and t.key = %(key)s

-- name: unposted_threads
-- Give threads with messages that have no postings yet.
select t.key from {schema}.thread t where @wall(t) and t.posted_to < t.last_seq order by t.updated_at limit %(limit)s

-- name: lock_thread
-- Give key and counts of the exact owner's thread, made where it is missing, and hold its row.
insert into {schema}.thread as t (tenant, user_id, agent_id, run_id, id)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(thread)s
where @gate
on conflict (tenant, user_id, agent_id, run_id, id) do update set updated_at = clock_timestamp()
returning t.key

-- name: known_ids
-- Give the messages of a thread that have one of these ids.
select m.id, m.seq, m.key, m.digest from {schema}.message m
where @wall(m) and m.thread = %(key)s and m.id = any(%(ids)s)

-- name: keep_version
-- Copy a message to its versions and take its postings and vectors away, before it is replaced.
with old as (
    select m.* from {schema}.message m where @wall(m) and m.key = %(message)s
), version as (
    insert into {schema}.version
        (tenant, user_id, agent_id, run_id, thread, seq, id, body, native, created_at, recorded_at)
    select o.tenant, o.user_id, o.agent_id, o.run_id, o.thread, o.seq, o.id, o.body, o.native, o.created_at,
        o.recorded_at
    from old o
), posting as (
    delete from {schema}.posting p
    where @wall(p) and p.user_id = (select o.user_id from old o) and p.message = (select o.key from old o)
        and p.term = any(array(select distinct w.term from old o cross join string_to_table(o.terms, ' ') as w (term)))
), vector as (
    delete from {schema}.vector v using old o where @wall(v) and v.message = o.key
), thread as (
    update {schema}.thread t set
        length = t.length - coalesce(cardinality(string_to_array(nullif(o.terms, ''), ' ')), 0),
        embedded_to = least(t.embedded_to, o.seq - 1)
    from old o where @wall(t) and t.key = o.thread
)
select o.seq from old o

-- name: replace
-- Write a message anew in its place.
with message as (
    update {schema}.message m set
        body = %(body)s::json, native = %(native)s::json, labels = %(labels)s::jsonb,
        digest = decode(%(digest)s, 'hex'), terms = %(terms)s, actor = %(actor)s, signals = %(signals)s,
        created_at = %(created_at)s, recorded_at = clock_timestamp(), written_by = pg_current_xact_id(),
        form_again = %(again)s and m.seq <= (
            select t.formed_to from {schema}.thread t where @wall(t) and t.key = m.thread
        ),
        parked = null, parked_at = null, graph_again = true
    where @wall(m) and m.key = %(message)s
    returning m.form_again, m.key, m.thread, m.seq, m.user_id, m.agent_id, m.run_id, m.terms
), posting as (
    insert into {schema}.posting (tenant, user_id, term, message, agent_id, run_id, frequency)
    select %(tenant)s, m.user_id, p.term, m.key, m.agent_id, m.run_id, least(count(*), 32767)
    from message m
    join {schema}.thread t on t.key = m.thread and m.seq <= t.posted_to
    cross join string_to_table(m.terms, ' ') as p (term)
    where @wall(t) and p.term <> ''
    group by m.key, m.user_id, m.agent_id, m.run_id, p.term
)
update {schema}.thread t set
    length = t.length + %(length)s::bigint, updated_at = clock_timestamp(),
    oldest = least(t.oldest, %(created_at)s),
    due_at = case when m.form_again then least(t.due_at, statement_timestamp()) else t.due_at end,
    due_from = case when m.form_again then least(t.due_from, clock_timestamp()) else t.due_from end
from message m where @wall(t) and t.key = m.thread
returning pg_current_xact_id()::text

-- name: delete_messages
-- Remove messages of threads (all, or those with these ids or keys) with all that hangs on them; count each kind, and
-- give the keys.
with gone as (
    delete from {schema}.message m
    where @wall(m) and m.thread = any(%(threads)s) and (%(ids)s::text[] is null or m.id = any(%(ids)s))
        and (%(keys)s::bigint[] is null or m.key = any(%(keys)s))
    returning m.key, m.thread, m.seq, m.user_id, m.agent_id, m.run_id, m.id, m.terms
), version as (
    delete from {schema}.version v
    where @wall(v) and v.thread = any(%(threads)s) and (%(ids)s::text[] is null or v.id = any(%(ids)s))
        and (%(keys)s::bigint[] is null or (v.thread, v.seq) in (select g.thread, g.seq from gone g))
    returning 1
), posted as materialized (
    select p.ctid from gone g cross join lateral string_to_table(g.terms, ' ') as w (term)
    cross join lateral (
        select p.ctid from {schema}.posting p
        where @wall(p) and p.user_id = g.user_id and p.term = w.term and p.message = g.key offset 0
    ) p
), posting as (
    delete from {schema}.posting p where @reached(p) and p.ctid = any(array(select d.ctid from posted d))
    returning 1
), vector as (
    delete from {schema}.vector v using gone g where @wall(v) and v.message = g.key
    returning 1
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, g.user_id, g.agent_id, g.run_id, g.key from gone g
), thread as (
    update {schema}.thread t set
        messages = t.messages - g.messages, length = t.length - g.length, updated_at = clock_timestamp()
    from (
        select g.thread, count(*) as messages,
            coalesce(sum(cardinality(string_to_array(nullif(g.terms, ''), ' '))), 0) as length
        from gone g group by g.thread
    ) g
    where @wall(t) and t.key = g.thread
)
select (select count(*) from gone), (select count(*) from version), (select count(*) from posting),
    (select count(*) from vector), (select array_agg(g.key) from gone g)

-- name: read_newest
-- Give the newest messages of a thread before a place, newest first, from a stretch of `width` numbers at its end.
-- The stretch bounds what is read whatever the planner believes: it does not know a new tenant's rows, takes them
-- for rare, and would sort the whole thread (measured: 36 ms of 100,000 messages instead of 0.2).
select m.seq, m.id, m.body, m.native, m.created_at from {schema}.message m
where @wall(m) and m.thread = (select t.key from {schema}.thread t where @owner(t) and t.id = %(thread)s)
    and m.seq > %(after)s and m.seq < %(before)s
    and m.seq > (
        select least(t.last_seq + 1, %(before)s) - %(width)s from {schema}.thread t
        where @owner(t) and t.id = %(thread)s
    )
    and (%(since)s::timestamptz is null or m.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or m.created_at < %(until)s)
order by m.seq desc limit %(limit)s

-- name: read_oldest
-- Give the oldest messages of a thread after a place, oldest first, from a stretch of `width` numbers.
select m.seq, m.id, m.body, m.native, m.created_at from {schema}.message m
where @wall(m) and m.thread = (select t.key from {schema}.thread t where @owner(t) and t.id = %(thread)s)
    and m.seq > %(after)s and m.seq < %(before)s and m.seq <= %(after)s::bigint + %(width)s
    and (%(since)s::timestamptz is null or m.created_at >= %(since)s)
    and (%(until)s::timestamptz is null or m.created_at < %(until)s)
order by m.seq limit %(limit)s

-- name: read_around
-- Give messages by id with their neighbours in the thread, oldest first; no further than a thousand numbers away.
with wanted as (
    select m.thread, m.seq from {schema}.message m
    where @wall(m) and m.id = any(%(ids)s)
        and m.thread = (select t.key from {schema}.thread t where @owner(t) and t.id = %(thread)s)
), near as (
    select w.thread, w.seq from wanted w
    union
    select w.thread, b.seq from wanted w cross join lateral (
        select m.seq from {schema}.message m
        where @wall(m) and m.thread = w.thread and m.seq < w.seq and m.seq >= w.seq - 1000 - %(before)s
        order by m.seq desc limit %(before)s
    ) b
    union
    select w.thread, a.seq from wanted w cross join lateral (
        select m.seq from {schema}.message m
        where @wall(m) and m.thread = w.thread and m.seq > w.seq and m.seq <= w.seq + 1000 + %(after)s
        order by m.seq limit %(after)s
    ) a
)
select m.seq, m.id, m.body, m.native, m.created_at from near n
join {schema}.message m on m.thread = n.thread and m.seq = n.seq
where @wall(m) order by m.seq

-- name: read_by_ids
-- Give messages of the exact owner's thread by id, in order.
select m.seq, m.id, m.body, m.native, m.created_at from {schema}.message m
where @owner(m) and m.thread = %(key)s and m.id = any(%(ids)s) order by m.seq

-- name: claim_request
-- Take an idempotency key; no row comes back where somebody has it already.
insert into {schema}.request as r (tenant, user_id, agent_id, run_id, verb, key, digest)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(verb)s, %(request)s, %(digest)s
where @gate
on conflict do nothing returning 1

-- name: read_request
-- Give what an idempotency key was used for.
select r.digest, r.answer from {schema}.request r
where @owner(r) and r.verb = %(verb)s and r.key = %(request)s

-- name: answer_request
-- Keep the answer under its idempotency key.
update {schema}.request r set answer = %(answer)s::json
where @owner(r) and r.verb = %(verb)s and r.key = %(request)s
