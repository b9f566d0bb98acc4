-- name: lodge
-- Hold the row of a thread that has checkpoints, made where it is missing. An update that is never done locks the row
-- all the same, and writes nothing.
insert into {schema}.checkpoint_thread as c (tenant, user_id, agent_id, run_id, thread, lodging)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(thread)s, %(lodging)s where @gate
on conflict (tenant, user_id, agent_id, run_id, thread) do update set written_at = clock_timestamp()
where %(written)s

-- name: hold_lodging
-- Hold the row of the exact owner's thread, and give where its checkpoints are.
select c.lodging from {schema}.checkpoint_thread c where @owner(c) and c.thread = %(thread)s for update

-- name: hold_lodgings
-- Hold rows by where the checkpoints are, and give those that are there.
select c.lodging from {schema}.checkpoint_thread c
where @reached(c) and c.lodging = any(%(lodgings)s) order by c.lodging for update

-- name: hold_lodgings_of_scope
-- Hold the rows of a scope, and give where its checkpoints are.
select c.lodging from {schema}.checkpoint_thread c where @scope(c) order by c.lodging for update

-- name: hold_lodgings_of_threads
-- Hold the rows of our threads (all, or those that have messages of these ids or keys), and give where their
-- checkpoints are.
select c.lodging from {schema}.thread t cross join lateral (
    select c.lodging from {schema}.checkpoint_thread c
    where @wall(c) and c.user_id = t.user_id and c.agent_id = t.agent_id and c.run_id = t.run_id and c.thread = t.id
    for update
) c
where @reached(t) and t.key = any(%(threads)s)
    and (%(ids)s::text[] is null and %(keys)s::bigint[] is null or exists (
        select 1 from {schema}.message m
        where @reached(m) and m.thread = t.key and (m.id = any(%(ids)s) or m.key = any(%(keys)s))
    ))

-- name: lodgings_of_scope
-- Give where a scope's checkpoints are: all, or those of threads that were not written for so long.
select c.lodging from {schema}.checkpoint_thread c
where @scope(c) and (%(age)s::interval is null or c.written_at < clock_timestamp() - %(age)s::interval)
order by c.lodging

-- name: lodgings_named
-- Give where the checkpoints of threads of these ids are, whoever's they are.
select c.lodging from {schema}.checkpoint_thread c where @wall(c) and c.thread = any(%(names)s)

-- name: lodgings_of_thread
-- Give where the checkpoints of one of the scope's threads are, or of those with a message of that id.
select c.lodging from {schema}.checkpoint_thread c join {schema}.thread t
    on t.user_id = c.user_id and t.agent_id = c.agent_id and t.run_id = c.run_id and t.id = c.thread
where @scope(c) and @wall(t) and (%(key)s::uuid is null or t.key = %(key)s) and (%(message)s::text is null or exists (
    select 1 from {schema}.message m where @reached(m) and m.thread = t.key and m.id = %(message)s
))

-- name: count_checkpoints
-- Count checkpoints.
select count(*) from {schema}.checkpoints k where @lodged(k)

-- name: drop_lodgings
-- Remove checkpoints with their writes and blobs, and count them.
with checkpoint as (
    delete from {schema}.checkpoints k where @lodged(k) returning 1
), blob as (
    delete from {schema}.checkpoint_blobs k where @lodged(k)
), write as (
    delete from {schema}.checkpoint_writes k where @lodged(k)
), lodging as (
    delete from {schema}.checkpoint_thread c where @reached(c) and c.lodging = any(%(lodgings)s)
)
select count(*) from checkpoint

-- name: move_lodging
-- Give a thread's checkpoints to another owner; what they say of their user and agent is put right.
with checkpoint as (
    update {schema}.checkpoints k set
        thread_id = %(lodging)s,
        metadata = case
            when k.metadata ?| array['user_id', 'agent_id']
            then k.metadata - 'user_id' - 'agent_id' || %(metadata)s::jsonb else k.metadata
        end
    where @lodged(k)
), blob as (
    update {schema}.checkpoint_blobs k set thread_id = %(lodging)s where @lodged(k)
), write as (
    update {schema}.checkpoint_writes k set thread_id = %(lodging)s where @lodged(k)
)
update {schema}.checkpoint_thread c set
    user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s, lodging = %(lodging)s
where @reached(c) and c.lodging = any(%(lodgings)s)

-- name: copy_lodging
-- Copy a thread's checkpoints under another thread_id.
with blob as (
    insert into {schema}.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    select %(lodging)s, k.checkpoint_ns, k.channel, k.version, k.type, k.blob
    from {schema}.checkpoint_blobs k where @lodged(k) on conflict do nothing
), write as (
    insert into {schema}.checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)
    select %(lodging)s, k.checkpoint_ns, k.checkpoint_id, k.task_id, k.idx, k.channel, k.type, k.blob, k.task_path
    from {schema}.checkpoint_writes k where @lodged(k) on conflict do nothing
)
insert into {schema}.checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
select %(lodging)s, k.checkpoint_ns, k.checkpoint_id, k.parent_checkpoint_id, k.type, k.checkpoint, k.metadata
from {schema}.checkpoints k where @lodged(k) on conflict do nothing

-- name: list_checkpoints
-- Give what pruning goes by: namespace, id, parent where it holds what was sent to this one's tasks (before format 4),
-- the root's checkpoint and the run.
select k.checkpoint_ns, k.checkpoint_id, case when (k.checkpoint ->> 'v')::int < 4 and exists (
        select 1 from {schema}.checkpoint_writes w
        where @lodged(w) and w.thread_id = k.thread_id and w.checkpoint_ns = k.checkpoint_ns
            and w.checkpoint_id = k.parent_checkpoint_id and w.channel = '__pregel_tasks'
    ) then k.parent_checkpoint_id end, k.metadata -> 'parents' ->> '', k.metadata ->> 'run_id'
from {schema}.checkpoints k where @lodged(k)

-- name: has_deltas
-- Tell whether a thread keeps a channel as differences: then its latest state rests on older checkpoints. A snapshot of
-- such a channel is a blob where the checkpoint says `true`.
select exists (
    select 1 from {schema}.checkpoints k
    where @lodged(k) and k.metadata ?| array['counters_since_delta_snapshot', 'delta_writes_versioned']
) or exists (
    select 1 from {schema}.checkpoints k cross join lateral jsonb_each(k.checkpoint -> 'channel_values') v
    cross join lateral (
        select 1 from {schema}.checkpoint_blobs b
        where @lodged(b) and b.thread_id = k.thread_id and b.checkpoint_ns = k.checkpoint_ns and b.channel = v.key
            and b.version = k.checkpoint -> 'channel_versions' ->> v.key
        limit 1
    ) b
    where @lodged(k) and v.value = 'true'::jsonb
)

-- name: trim_lodging
-- Remove some checkpoints of a thread with their writes, and the blobs that no other needs; count them.
with doomed as (
    select * from unnest(%(spaces)s::text[], %(doomed)s::text[]) as d (checkpoint_ns, checkpoint_id)
), checkpoint as (
    delete from {schema}.checkpoints k
    where @lodged(k) and (k.checkpoint_ns, k.checkpoint_id) in (select d.checkpoint_ns, d.checkpoint_id from doomed d)
    returning k.checkpoint_ns, k.checkpoint -> 'channel_versions' as versions
), write as (
    delete from {schema}.checkpoint_writes k
    where @lodged(k) and (k.checkpoint_ns, k.checkpoint_id) in (select d.checkpoint_ns, d.checkpoint_id from doomed d)
), blob as (
    delete from {schema}.checkpoint_blobs k
    where @lodged(k) and (k.checkpoint_ns, k.channel, k.version) in (
        select c.checkpoint_ns, v.key, v.value from checkpoint c cross join lateral jsonb_each_text(c.versions) v
        except
        select n.checkpoint_ns, v.key, v.value from {schema}.checkpoints n
        cross join lateral jsonb_each_text(n.checkpoint -> 'channel_versions') v
        where @lodged(n) and (n.checkpoint_ns, n.checkpoint_id) not in (
            select d.checkpoint_ns, d.checkpoint_id from doomed d
        )
    )
), orphan as (
    update {schema}.checkpoints k set parent_checkpoint_id = null
    where @lodged(k)
        and (k.checkpoint_ns, k.parent_checkpoint_id) in (select d.checkpoint_ns, d.checkpoint_id from doomed d)
        and (k.checkpoint_ns, k.checkpoint_id) not in (select d.checkpoint_ns, d.checkpoint_id from doomed d)
)
select count(*) from checkpoint
