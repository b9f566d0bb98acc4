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
-- Copy messages and their vectors to a new thread; its postings are due. What was formed counts as formed.
with source as (
    select m.* from {schema}.message m where @wall(m) and m.thread = %(source)s and m.seq <= %(until)s
), message as (
    insert into {schema}.message (tenant, user_id, agent_id, run_id, thread, seq, id, body, native, labels, digest,
        terms, actor, signals, form_again, parked, parked_at, created_at)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(key)s, s.seq, s.id, s.body, s.native, s.labels,
        s.digest, s.terms, s.actor, s.signals, s.form_again, s.parked, s.parked_at, s.created_at
    from source s order by s.seq
    returning key, seq, terms, form_again, parked
), vector as (
    insert into {schema}.vector (tenant, user_id, agent_id, run_id, space, message, chunk, embedding)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, v.space, m.key, v.chunk, v.embedding
    from source s join message m using (seq) join {schema}.vector v on v.message = s.key
    where @wall(v)
)
update {schema}.thread t set
    last_seq = s.last_seq,
    messages = (select count(*) from message),
    length = (
        select coalesce(sum(cardinality(string_to_array(nullif(m.terms, ''), ' '))), 0) from message m
    ),
    space = s.space, embedded_to = s.embedded_to,
    formed_to = s.formed_to, policy = s.policy, retention = s.retention,
    due_at = case when u.unformed then s.due_at end, due_from = case when u.unformed then s.due_from end,
    source = %(source)s, source_seq = (select coalesce(max(m.seq), 0) from message m)
from {schema}.thread s cross join lateral (
    select exists (
        select 1 from message m where m.parked is null and (m.seq > s.formed_to or m.form_again)
    ) as unformed
) u
where @wall(t) and t.key = %(key)s and @wall(s) and s.key = %(source)s
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
        written_by = pg_current_xact_id(), indexed = false
    from moved m where @wall(v) and v.message = m.key
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, m.key from moved m
)
update {schema}.thread t set
    user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s, updated_at = clock_timestamp()
where @wall(t) and t.key = %(key)s
returning @thread(t)

-- name: keys_of_thread
-- Give the numbers of a thread's messages.
select array(select m.key from {schema}.message m where @wall(m) and m.thread = %(key)s)

-- name: sources_of
-- Give what facts rest on, in any version, with whether they are the exact owner's.
select s.fact, s.message, s.source_fact,
    s.user_id = %(user_id)s and s.agent_id = %(agent_id)s and s.run_id = %(run_id)s
from {schema}.source s where @reached(s) and s.fact = any(%(facts)s) and s.version > 0

-- name: held_elsewhere
-- Give those of these facts whose key or statement the other owner has already.
select f.id from {schema}.fact f
where @reached(f) and f.id = any(%(facts)s) and f.retired_at is null and exists (
    select 1 from {schema}.fact o
    where @wall(o) and o.user_id = %(to_user_id)s and o.agent_id = %(to_agent_id)s and o.run_id = %(to_run_id)s
        and o.retired_at is null and (o.fingerprint = f.fingerprint or f.fact_key <> '' and o.fact_key = f.fact_key)
)

-- name: move_facts
-- Give facts in all their versions and all that hangs on them to another owner, and mark them as gone from the old one.
with moved as (
    update {schema}.fact f set
        user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(f) and f.id = any(%(facts)s)
    returning -f.key as message, f.id::text as item, f.terms, f.retired_at
), source as (
    update {schema}.source s set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(s) and s.fact = any(%(facts)s)
), change as (
    update {schema}.change c set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(c) and c.fact = any(%(facts)s)
    returning c.id
), mention as (
    update {schema}.source s set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    from change c where @reached(s) and s.version = 0 and s.fact = c.id
), posted as materialized (
    select p.ctid from moved m cross join lateral string_to_table(m.terms, ' ') as w (term)
    cross join lateral (
        select p.ctid from {schema}.posting p
        where @wall(p) and p.user_id = %(user_id)s and p.term = w.term and p.message = m.message offset 0
    ) p
    where m.retired_at is null
), posting as (
    update {schema}.posting p set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(p) and p.ctid = any(array(select d.ctid from posted d))
), vector as (
    update {schema}.vector v set
        user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s,
        written_by = pg_current_xact_id(), indexed = false
    from moved m where @reached(v) and v.message = m.message
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, m.message from moved m
    union all
    select %(tenant)s, %(to_user_id)s, %(to_agent_id)s, %(to_run_id)s, m.message from moved m
), due as (
    update {schema}.due d set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    from (select distinct m.item from moved m) m cross join (values ('embed'), ('reform')) as k (kind)
    where @owner(d) and d.kind = k.kind and d.item = m.item
), counted as (
    select count(*) as facts, coalesce(sum(cardinality(string_to_array(nullif(m.terms, ''), ' '))), 0) as length
    from moved m where m.retired_at is null
)
update {schema}.owner o set
    facts = o.facts + c.facts * d.sign, length = o.length + c.length * d.sign
from counted c cross join (
    values (-1, %(user_id)s, %(agent_id)s, %(run_id)s), (1, %(to_user_id)s, %(to_agent_id)s, %(to_run_id)s)
) as d (sign, user_id, agent_id, run_id)
where @wall(o) and o.user_id = d.user_id and o.agent_id = d.agent_id and o.run_id = d.run_id

-- name: lose_sources
-- Take from facts that stay what they rested on that goes: these messages and facts. Give the keys of those standing
-- versions that lost something.
with lost as (
    delete from {schema}.source s
    where @reached(s) and s.version > 0 and s.fact <> all(%(facts)s::uuid[])
        and (s.message = any(%(messages)s) or s.source_fact = any(%(facts)s))
    returning s.fact, s.version
)
select distinct f.key from lost l join {schema}.fact f on f.id = l.fact and f.version = l.version
where @reached(f) and f.retired_at is null

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
