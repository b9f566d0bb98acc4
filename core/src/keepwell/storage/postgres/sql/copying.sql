-- Carrying a tenant from one store to another: what is told of its rows, and rows that are kept under their own keys.

-- name: copy_threads
-- Give threads in the order of their keys, after one; with up to where names were looked for.
select @thread(t), t.formed_to, t.due_at, t.policy, least(t.graph_to, (
    select min(m.seq) - 1 from {schema}.message m where @reached(m) and m.thread = t.key and m.graph_again
))
from {schema}.thread t where @wall(t) and t.key > %(key)s order by t.key limit %(limit)s

-- name: copy_messages
-- Give a thread's messages in their order, after one.
select m.seq, m.id, m.body, m.native, m.created_at, m.terms, m.signals, m.recorded_at, m.form_again, m.parked,
    m.parked_at
from {schema}.message m where @reached(m) and m.thread = %(key)s and m.seq > %(after)s order by m.seq limit %(limit)s

-- name: copy_rejections
-- Give rejections, oldest first, with the reasons that history has for them.
select r.user_id, r.agent_id, r.run_id, r.across_users, r.hash, r.at, r.change is null, c.reason
from {schema}.rejection r
left join lateral (
    select c.reason from {schema}.change c where @reached(c) and c.id = r.change offset 0
) c on true
where @wall(r) order by r.id

-- name: keep_thread
-- Keep a thread under its own key, or bring it up to date; no row comes back where the key is another's.
insert into {schema}.thread as t (key, tenant, user_id, agent_id, run_id, id, title, metadata, labels, created_at,
    updated_at, last_seq, source, source_seq, formed_to, due_at, due_from, policy, retention)
select %(key)s, %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(thread)s, %(title)s, %(metadata)s::json,
    %(labels)s::jsonb, %(created_at)s, %(updated_at)s, %(last_seq)s, %(source)s, %(source_seq)s, %(formed_to)s,
    %(due_at)s::timestamptz, %(due_at)s::timestamptz, %(policy)s::json, %(retention)s
where @gate
on conflict (key) do update set
    title = excluded.title, metadata = excluded.metadata, labels = excluded.labels,
    created_at = excluded.created_at, updated_at = excluded.updated_at,
    last_seq = greatest(t.last_seq, excluded.last_seq), source = excluded.source, source_seq = excluded.source_seq,
    formed_to = greatest(t.formed_to, excluded.formed_to), due_at = excluded.due_at, due_from = excluded.due_from,
    policy = excluded.policy, retention = excluded.retention
where t.tenant = excluded.tenant and t.user_id = excluded.user_id and t.agent_id = excluded.agent_id
    and t.run_id = excluded.run_id and t.id = excluded.id
returning t.xmax::text = '0'

-- name: keep_messages
-- Keep messages of a thread under their own numbers; those whose ids are there already stay. Counts the new.
with batch as materialized (
    select * from json_to_recordset(%(batch)s::json) as b (
        n bigint, id text, body text, native text, labels text, digest text, created_at timestamptz, terms text,
        actor text, signals text, recorded_at timestamptz, again boolean, parked text, parked_at timestamptz
    )
), message as (
    insert into {schema}.message (tenant, user_id, agent_id, run_id, thread, seq, id, body, native, labels, digest,
        terms, actor, signals, form_again, parked, parked_at, created_at, recorded_at)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(key)s, b.n, b.id, b.body::json, b.native::json,
        b.labels::jsonb, decode(b.digest, 'hex'), b.terms, b.actor, coalesce(b.signals, ''), b.again, b.parked,
        b.parked_at, b.created_at, b.recorded_at
    from batch b where @gate order by b.n
    on conflict (thread, id) do nothing
    returning seq, terms
)
update {schema}.thread t set
    messages = t.messages + (select count(*) from message),
    length = t.length + (
        select coalesce(sum(cardinality(string_to_array(nullif(m.terms, ''), ' '))), 0) from message m
    ),
    last_seq = greatest(t.last_seq, (select coalesce(max(m.seq), 0) from message m))
where @exact(t) and t.key = %(key)s
returning (select count(*) from message)

-- name: has_rejections
-- Tell whether anything was rejected in the tenant.
select exists (select from {schema}.rejection r where @wall(r))

-- name: set_secret
-- Take over a secret.
update {schema}.secret s set value = %(value)s where @wall(s)

-- name: keep_rejections
-- Keep rejections of views, each with the change that it came with, where history has it; count the new.
with kept as (
    insert into {schema}.rejection (tenant, user_id, agent_id, run_id, across_users, hash, at, change)
    select %(tenant)s, r.user_id, r.agent_id, r.run_id, r.across, r.hash, r.at, (
        select c.id from {schema}.change c
        where @wall(c) and c.user_id = r.user_id and c.at <= r.at and c.reason::text = r.reason
        order by c.at desc limit 1
    )
    from unnest(%(users)s::text[], %(agents)s::text[], %(runs)s::text[], %(across_users)s::boolean[],
        %(hashes)s::bytea[], %(ats)s::timestamptz[], %(reasons)s::text[])
        as r (user_id, agent_id, run_id, across, hash, at, reason)
    where @gate
    on conflict (hash, tenant, user_id, agent_id, run_id, across_users) do nothing
    returning id
)
select count(*) from kept
