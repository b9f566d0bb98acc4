-- name: find_thread
-- Give the exact owner's thread of that id.
select @thread(t) from {schema}.thread t where @owner(t) and t.id = %(thread)s

-- name: find_thread_by_key
-- Give the scope's thread of that key.
select @thread(t) from {schema}.thread t where @scope(t) and t.key = %(key)s

-- name: list_by_updated_descending
-- Give a page of threads, the latest changed first.
select @thread(t) from {schema}.thread t
where @scope(t) and t.labels @> %(where)s::jsonb
    and (%(at)s::timestamptz is null or (t.updated_at, t.key) < (%(at)s, %(key)s::uuid))
order by t.updated_at desc, t.key desc limit %(limit)s

-- name: list_by_updated_ascending
-- Give a page of threads, the latest changed last.
select @thread(t) from {schema}.thread t
where @scope(t) and t.labels @> %(where)s::jsonb
    and (%(at)s::timestamptz is null or (t.updated_at, t.key) > (%(at)s, %(key)s::uuid))
order by t.updated_at, t.key limit %(limit)s

-- name: list_by_created_descending
-- Give a page of threads, the youngest first.
select @thread(t) from {schema}.thread t
where @scope(t) and t.labels @> %(where)s::jsonb
    and (%(at)s::timestamptz is null or (t.created_at, t.key) < (%(at)s, %(key)s::uuid))
order by t.created_at desc, t.key desc limit %(limit)s

-- name: list_by_created_ascending
-- Give a page of threads, the oldest first.
select @thread(t) from {schema}.thread t
where @scope(t) and t.labels @> %(where)s::jsonb
    and (%(at)s::timestamptz is null or (t.created_at, t.key) > (%(at)s, %(key)s::uuid))
order by t.created_at, t.key limit %(limit)s

-- name: create_thread
-- Make a thread; no row comes back where it is there already.
insert into {schema}.thread as t (tenant, user_id, agent_id, run_id, id, title, metadata, labels)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(thread)s, %(title)s, %(metadata)s::json, %(labels)s::jsonb
where @gate
on conflict do nothing returning @thread(t)

-- name: hold_thread
-- Give the exact owner's thread and hold its row.
select @thread(t) from {schema}.thread t where @owner(t) and t.id = %(thread)s for update

-- name: update_thread
-- Write title and metadata.
update {schema}.thread t set
    title = coalesce(%(title)s, t.title), metadata = %(metadata)s::json, labels = %(labels)s::jsonb,
    updated_at = clock_timestamp()
where @wall(t) and t.key = %(key)s
returning @thread(t)

-- name: clone_thread
-- Copy messages and their vectors to a new thread; its postings are due.
with source as (
    select m.* from {schema}.message m where @wall(m) and m.thread = %(source)s and m.seq <= %(until)s
), message as (
    insert into {schema}.message
        (tenant, user_id, agent_id, run_id, thread, seq, id, body, native, labels, digest, terms, created_at)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(key)s, s.seq, s.id, s.body, s.native, s.labels,
        s.digest, s.terms, s.created_at
    from source s order by s.seq
    returning key, seq, terms
), vector as (
    insert into {schema}.vector (tenant, user_id, agent_id, run_id, space, message, chunk, embedding)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, v.space, m.key, v.chunk, v.embedding
    from source s join message m using (seq) join {schema}.vector v on v.message = s.key
    where @wall(v)
)
update {schema}.thread t set
    last_seq = (select s.last_seq from {schema}.thread s where @wall(s) and s.key = %(source)s),
    messages = (select count(*) from message),
    length = (
        select coalesce(sum(cardinality(string_to_array(nullif(m.terms, ''), ' '))), 0) from message m
    ),
    space = (select s.space from {schema}.thread s where @wall(s) and s.key = %(source)s),
    embedded_to = (select s.embedded_to from {schema}.thread s where @wall(s) and s.key = %(source)s),
    source = %(source)s, source_seq = (select coalesce(max(m.seq), 0) from message m)
where @wall(t) and t.key = %(key)s
returning @thread(t)

-- name: move_thread
-- Give a thread and all that hangs on it to another owner, and mark it as gone from the old one.
with moved as (
    update {schema}.message m set
        user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s,
        written_by = pg_current_xact_id()
    where @wall(m) and m.thread = %(key)s
    returning m.key, m.terms
), version as (
    update {schema}.version v set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @wall(v) and v.thread = %(key)s
), posted as materialized (
    select p.ctid from moved m cross join lateral string_to_table(m.terms, ' ') as w (term)
    cross join lateral (
        select p.ctid from {schema}.posting p
        where @wall(p) and p.user_id = %(user_id)s and p.term = w.term and p.message = m.key offset 0
    ) p
), posting as (
    update {schema}.posting p set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(p) and p.ctid = any(array(select d.ctid from posted d))
), vector as (
    update {schema}.vector v set
        user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s,
        written_by = pg_current_xact_id()
    from moved m where @wall(v) and v.message = m.key
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, m.key from moved m
)
update {schema}.thread t set
    user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s, updated_at = clock_timestamp()
where @wall(t) and t.key = %(key)s
returning @thread(t)

-- name: hold_scope
-- Give the keys of the scope's threads (all, or the one named) and hold their rows.
select t.key from {schema}.thread t
where @scope(t) and (%(key)s::uuid is null or t.key = %(key)s) order by t.key for update

-- name: delete_threads
-- Remove threads whose messages are gone.
with gone as (
    delete from {schema}.thread t where @wall(t) and t.key = any(%(threads)s) returning 1
)
select count(*) from gone

-- name: forget_requests
-- Remove the idempotency keys of a scope, or of one thread of it.
with gone as (
    delete from {schema}.request r
    where @scope(r) and (%(key)s::uuid is null or r.answer ->> 'thread' = %(key)s::text)
    returning 1
)
select count(*) from gone
