-- name: hold_owner
-- Hold the exact owner's row, made where it is missing, and give its lease, facts and terms. The lock keeps who
-- claims from waiting for a row that a longer transaction is about to make.
insert into {schema}.owner as o (tenant, user_id, agent_id, run_id)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s
where @gate and (select pg_advisory_xact_lock(hashtextextended(
    %(tenant)s || E'\x1f' || %(user_id)s || E'\x1f' || %(agent_id)s || E'\x1f' || %(run_id)s, 20)) is not null)
on conflict (tenant, user_id, agent_id, run_id) do update set lease = o.lease
returning o.lease, o.facts, o.length

-- name: hold_claim
-- Hold a claim's owner and thread, where both are still as the claim has them, and give when it was made.
select o.leased_at from {schema}.owner o
join {schema}.thread t on t.tenant = o.tenant and t.user_id = o.user_id and t.agent_id = o.agent_id
    and t.run_id = o.run_id
where @owner(o) and @owner(t) and o.lease = %(lease)s and o.leased_until is not null and t.key = %(key)s
    and (%(formed_to)s::bigint is null or t.formed_to = %(formed_to)s)
for update

-- name: note_formed
-- Note how long messages waited to be formed, and take the marks off what was formed anew, except what was replaced
-- since the claim: that may be newer than what was read. The claim must be held by an earlier statement.
with read as (
    select m.key, m.thread, m.seq, m.recorded_at, m.form_again from {schema}.message m
    where @exact(m) and m.thread = %(key)s and m.seq > %(formed_to)s and m.seq <= %(upto)s and m.parked is null
    union
    select m.key, m.thread, m.seq, m.recorded_at, m.form_again from {schema}.message m
    where @exact(m) and m.thread = %(key)s and m.key = any(%(again)s) and m.parked is null
), other as (
    select r.key from read r where r.form_again <> (r.recorded_at >= %(since)s and exists (
        select 1 from {schema}.version v where @wall(v) and v.thread = r.thread and v.seq = r.seq
    ))
), noted as (
    update {schema}.message m set form_again = not m.form_again
    where @reached(m) and m.key = any(array(select o.key from other o))
)
insert into {schema}.lag (tenant, seconds)
select %(tenant)s, array_agg(extract(epoch from clock_timestamp() - r.recorded_at)::real)
from read r where @gate and r.seq > %(formed_to)s having count(*) > 0

-- name: pass_watermark
-- Move a thread's watermark; it stays due where something is still to be formed. The thread must be held.
update {schema}.thread t set
    formed_to = %(upto)s, form_attempts = 0, form_error = null,
    due_at = case when r.remains then r.due_at end, due_from = case when r.remains then r.due_at end
from (
    select t.key, case when t.form_attempts > 0 then clock_timestamp() else coalesce(t.due_at, clock_timestamp()) end
            as due_at,
        exists (
            select 1 from {schema}.message m
            where @wall(m) and m.thread = t.key and m.seq > %(upto)s and m.parked is null
        ) or exists (
            select 1 from {schema}.message m where @reached(m) and m.thread = t.key and m.form_again
        ) as remains
    from {schema}.thread t where @wall(t) and t.key = %(key)s
) r
where @wall(t) and t.key = r.key

-- name: keep_lease
-- Renew an owner's lease by its length, or give it back.
update {schema}.owner o set
    leased_at = clock_timestamp(),
    leased_until = case when %(finish)s then null else clock_timestamp() + o.leased_for end
where @owner(o) and o.lease = %(lease)s and o.leased_until is not null

-- name: record_calls
-- Keep calls of a language model.
insert into {schema}.model_call
    (tenant, user_id, agent_id, run_id, model, purpose, input_tokens, output_tokens, seconds, ok)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, c.*
from unnest(
    %(models)s::text[], %(purposes)s::text[], %(inputs)s::bigint[], %(outputs)s::bigint[], %(seconds)s::float8[],
    %(oks)s::boolean[]
) as c
where @gate

-- name: put_due
-- Note work; what is noted already keeps the earlier time.
insert into {schema}.due as d (tenant, kind, user_id, agent_id, run_id, item, due_at)
select %(tenant)s, i.kind, i.user_id, i.agent_id, i.run_id, i.item, coalesce(%(at)s, clock_timestamp())
from unnest(%(kinds)s::text[], %(users)s::text[], %(agents)s::text[], %(runs)s::text[], %(items)s::text[])
    as i (kind, user_id, agent_id, run_id, item)
where @gate
on conflict (tenant, kind, user_id, agent_id, run_id, item) do update set
    due_at = least(d.due_at, excluded.due_at), put_at = clock_timestamp()

-- name: finish_due
-- Take work off, where it was not noted anew since it was taken.
with item as (
    select * from unnest(
        %(kinds)s::text[], %(users)s::text[], %(agents)s::text[], %(runs)s::text[], %(items)s::text[]
    ) as i (kind, user_id, agent_id, run_id, item)
)
delete from {schema}.due d using item i
where @wall(d) and d.kind = i.kind and d.user_id = i.user_id and d.agent_id = i.agent_id and d.run_id = i.run_id
    and d.item = i.item and (d.taken_at is null or d.put_at <= d.taken_at)

-- name: put_off_due
-- Note why work failed, or that it comes round again, where it was not noted anew since it was taken.
with item as (
    select * from unnest(
        %(kinds)s::text[], %(users)s::text[], %(agents)s::text[], %(runs)s::text[], %(items)s::text[]
    ) as i (kind, user_id, agent_id, run_id, item)
)
update {schema}.due d set
    error = %(error)s, attempts = case when %(error)s::text is null then 0 else d.attempts end,
    due_at = case
        when %(again)s::interval is null or d.put_at > d.taken_at then d.due_at
        else clock_timestamp() + %(again)s::interval
    end
from item i
where @wall(d) and d.kind = i.kind and d.user_id = i.user_id and d.agent_id = i.agent_id and d.run_id = i.run_id
    and d.item = i.item

-- name: take_due
-- Take work that is due, longest waiting first, and hide it from others.
with mine as materialized (
    select d.kind, d.user_id, d.agent_id, d.run_id, d.item, d.due_at from {schema}.due d
    where @wall(d) and d.kind = any(%(kinds)s) and d.due_at <= statement_timestamp()
    order by d.due_at limit %(limit)s for update skip locked
), taken as (
    update {schema}.due d set
        due_at = clock_timestamp() + %(lease)s::interval, taken_at = clock_timestamp(), attempts = d.attempts + 1
    from mine m
    where @wall(d) and d.kind = m.kind and d.user_id = m.user_id and d.agent_id = m.agent_id and d.run_id = m.run_id
        and d.item = m.item
    returning d.kind, d.user_id, d.agent_id, d.run_id, d.item, d.attempts, m.due_at
)
select t.kind, t.user_id, t.agent_id, t.run_id, t.item, t.attempts from taken t order by t.due_at

-- name: claimable
-- Give threads that may be claimed now, longest waiting first, with whether their owner has no row yet.
select t.due_from, t.key, t.user_id, t.agent_id, t.run_id, not exists (
    select 1 from {schema}.owner o
    where @wall(o) and o.user_id = t.user_id and o.agent_id = t.agent_id and o.run_id = t.run_id
)
from {schema}.thread t
where @wall(t) and t.due_from <= case when %(early)s then 'infinity' else statement_timestamp() end
    and (%(at)s::timestamptz is null or (t.due_from, t.key) > (%(at)s, %(key)s::uuid))
    and (t.due_at <= statement_timestamp() or %(early)s and t.form_attempts = 0)
    and not exists (
        select 1 from {schema}.owner o
        where @wall(o) and o.user_id = t.user_id and o.agent_id = t.agent_id and o.run_id = t.run_id
            and o.leased_until > statement_timestamp()
    )
order by t.due_from, t.key limit %(limit)s

-- name: claimable_thread
-- Give a thread with its owner, where it may be claimed now, and whether its owner has no row yet.
select t.due_from, t.key, t.user_id, t.agent_id, t.run_id, not exists (
    select 1 from {schema}.owner o
    where @wall(o) and o.user_id = t.user_id and o.agent_id = t.agent_id and o.run_id = t.run_id
)
from {schema}.thread t
where @reached(t) and t.key = %(key)s
    and (t.due_at <= statement_timestamp() or %(early)s and t.form_attempts = 0 and t.due_at is not null)

-- name: try_owner
-- Hold the exact owner's row where it is free and nobody else holds it.
select o.lease from {schema}.owner o
where @owner(o) and (o.leased_until is null or o.leased_until <= statement_timestamp())
for update skip locked

-- name: make_owner
-- Make the exact owner's row, where nobody has made it or is about to.
insert into {schema}.owner as o (tenant, user_id, agent_id, run_id)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s
where @gate and (select pg_try_advisory_xact_lock(hashtextextended(
    %(tenant)s || E'\x1f' || %(user_id)s || E'\x1f' || %(agent_id)s || E'\x1f' || %(run_id)s, 20)))
on conflict do nothing
returning o.lease

-- name: claim
-- Take the lease of an owner whose row is held, for a thread of it that is due and has something to form. Its
-- snapshot has to be younger than the lock: who had the lease before may have formed the thread.
update {schema}.owner o set
    lease = o.lease + 1, leased_at = clock_timestamp(),
    leased_until = clock_timestamp() + %(lease)s::interval, leased_for = %(lease)s::interval
from (
    select t.* from {schema}.thread t
    where @exact(t) and t.key = %(key)s
        and (t.due_at <= statement_timestamp() or %(early)s and t.form_attempts = 0 and t.due_at is not null)
        and (
            exists (
                select 1 from {schema}.message m
                where @reached(m) and m.thread = t.key and m.seq > t.formed_to and m.parked is null
            ) or exists (
                select 1 from {schema}.message m where @reached(m) and m.thread = t.key and m.form_again
            )
        )
) t
where @owner(o)
returning o.lease, o.leased_until, t.key, t.id, t.formed_to, t.last_seq, t.form_attempts, o.policy, t.policy

-- name: try_thread
-- Hold a thread's row where nobody else holds it.
select t.key from {schema}.thread t where @exact(t) and t.key = %(key)s for update skip locked

-- name: clear_due
-- Note that a thread has nothing to form, where that is so. The thread must be held by an earlier statement.
update {schema}.thread t set
    formed_to = t.last_seq, form_attempts = 0, form_error = null, due_at = null, due_from = null
where @reached(t) and t.key = %(key)s
    and not exists (
        select 1 from {schema}.message m
        where @reached(m) and m.thread = t.key and m.seq > t.formed_to and m.parked is null
    ) and not exists (
        select 1 from {schema}.message m where @reached(m) and m.thread = t.key and m.form_again
    )

-- name: find_forming
-- Give threads that are due and whose owners nobody has leased, longest waiting first.
select t.key from {schema}.thread t
where @wall(t) and t.due_from <= case when %(early)s then 'infinity' else statement_timestamp() end
    and (t.due_at <= statement_timestamp() or %(early)s and t.form_attempts = 0)
    and not exists (
        select 1 from {schema}.owner o
        where @wall(o) and o.user_id = t.user_id and o.agent_id = t.agent_id and o.run_id = t.run_id
            and o.leased_until > statement_timestamp()
    )
    and (exists (
        select 1 from {schema}.message m
        where @reached(m) and m.thread = t.key and m.seq > t.formed_to and m.parked is null
    ) or exists (
        select 1 from {schema}.message m where @reached(m) and m.thread = t.key and m.form_again
    ))
order by t.due_from, t.key limit %(limit)s

-- name: read_fresh
-- Give a thread's messages after its watermark that are not parked, oldest first, from a stretch of numbers.
select m.key, m.form_again, m.seq, m.id, m.body, m.native, m.created_at from {schema}.message m
where @exact(m) and m.thread = %(key)s and m.seq > %(formed_to)s and m.seq <= %(formed_to)s::bigint + %(width)s
    and m.parked is null
order by m.seq limit %(limit)s

-- name: read_again
-- Give a thread's messages up to its watermark that are to be formed again, oldest first.
select m.key, m.form_again, m.seq, m.id, m.body, m.native, m.created_at from {schema}.message m
where @exact(m) and m.thread = %(key)s and m.form_again and m.seq <= %(formed_to)s
order by m.seq

-- name: read_leading
-- Give the messages right before a place, newest first.
select m.seq, m.id, m.body, m.native, m.created_at from {schema}.message m
where @exact(m) and m.thread = %(key)s and m.seq < %(before)s and m.seq >= %(before)s::bigint - 64 - %(limit)s
    and m.parked is null
order by m.seq desc limit %(limit)s

-- name: fail_forming
-- Note a failure on a thread, and when it is tried again. The thread must be held.
update {schema}.thread t set
    form_attempts = t.form_attempts + 1, form_error = %(error)s,
    due_at = clock_timestamp() + %(retry)s::interval, due_from = clock_timestamp() + %(retry)s::interval
where @exact(t) and t.key = %(key)s

-- name: park
-- Park messages of a thread with the error that they made; the thread is tried again without them.
with parked as (
    update {schema}.message m set parked = %(error)s, parked_at = clock_timestamp(), form_again = false
    where @exact(m) and m.thread = %(key)s and m.key = any(%(messages)s)
)
update {schema}.thread t set
    form_attempts = 0, form_error = null,
    due_at = clock_timestamp() + %(retry)s::interval, due_from = clock_timestamp() + %(retry)s::interval
where @exact(t) and t.key = %(key)s

-- name: list_parked
-- Give a scope's parked messages, newest first.
select m.thread, t.id, m.id, m.user_id, m.agent_id, m.run_id, m.parked, m.parked_at
from {schema}.message m join {schema}.thread t on t.key = m.thread
where @within(m) and @reached(t) and m.parked is not null
order by m.parked_at desc, m.key desc limit %(limit)s

-- name: hold_failing
-- Hold a scope's threads that have parked messages, or wait after a failure.
select t.key from {schema}.thread t
where @within(t) and t.key = any(array(
    select m.thread from {schema}.message m where @within(m) and m.parked is not null
    union
    select f.key from {schema}.thread f where @within(f) and f.due_from is not null and f.form_attempts > 0
))
order by t.key for update

-- name: retry
-- Mark parked messages of threads that are held to be formed again, and make what failed in the scope due.
with retried as (
    update {schema}.message m set form_again = true, parked = null, parked_at = null
    where @wall(m) and m.thread = any(%(threads)s) and m.parked is not null
    returning 1
), thread as (
    update {schema}.thread t set
        form_attempts = 0, form_error = null, due_at = statement_timestamp(), due_from = statement_timestamp()
    where @reached(t) and t.key = any(%(threads)s)
), due as (
    update {schema}.due d set due_at = statement_timestamp() where @scope(d) and d.error is not null
)
select count(*) from retried

-- name: find_owners
-- Give owners with threads, in order, after one.
select distinct t.user_id, t.agent_id, t.run_id from {schema}.thread t
where @wall(t) and (t.user_id, t.agent_id, t.run_id) > (%(user_id)s, %(agent_id)s, %(run_id)s)
order by t.user_id, t.agent_id, t.run_id limit %(limit)s

-- name: owner_policy
-- Give the exact owner's policy.
select o.policy from {schema}.owner o where @owner(o)

-- name: set_owner_policy
-- Write the exact owner's policy.
update {schema}.owner o set policy = %(policy)s::json, retention = %(retention)s where @owner(o)

-- name: thread_policy
-- Give a thread's policy.
select t.policy from {schema}.thread t where @exact(t) and t.key = %(key)s

-- name: set_thread_policy
-- Write a thread's policy.
update {schema}.thread t set policy = %(policy)s::json, retention = %(retention)s where @exact(t) and t.key = %(key)s

-- name: read_secret
-- Give the tenant's secret.
select s.value from {schema}.secret s where @wall(s)

-- name: make_secret
-- Keep a tenant's secret, where it has none.
insert into {schema}.secret (tenant, value) select %(tenant)s, %(value)s where @gate on conflict do nothing

-- name: spent
-- Add up the model calls of each owner since an instant, the dearest first.
select c.user_id, c.agent_id, c.run_id, count(*), sum(c.input_tokens)::bigint, sum(c.output_tokens)::bigint,
    sum(c.seconds)
from {schema}.model_call c where @wall(c) and c.at >= %(since)s
group by c.user_id, c.agent_id, c.run_id
order by sum(c.input_tokens + c.output_tokens) desc, count(*) desc limit %(limit)s

-- name: spent_by
-- Add up the model calls of the exact owner since an instant.
select c.user_id, c.agent_id, c.run_id, count(*), sum(c.input_tokens)::bigint, sum(c.output_tokens)::bigint,
    sum(c.seconds)
from {schema}.model_call c where @owner(c) and c.at >= %(since)s
group by c.user_id, c.agent_id, c.run_id

-- name: drop_old_calls
-- Drop model calls from before an age, and lags beyond the newest thousand formations.
with calls as (
    delete from {schema}.model_call c where @wall(c) and c.at < clock_timestamp() - %(age)s::interval
)
delete from {schema}.lag g where @wall(g) and g.at < (
    select l.at from {schema}.lag l where @wall(l) order by l.at desc offset 1000 limit 1
)

-- name: formation
-- Count what is due to be formed in a tenant, and what cannot be.
with thread as materialized (
    select t.due_at, t.form_attempts from {schema}.thread t
    where @wall(t) and t.due_from is not null and (exists (
        select 1 from {schema}.message m
        where @reached(m) and m.thread = t.key and m.seq > t.formed_to and m.parked is null
    ) or exists (
        select 1 from {schema}.message m where @reached(m) and m.thread = t.key and m.form_again
    ))
)
select
    (select count(*) from {schema}.fact f where @wall(f) and f.retired_at is null),
    (select count(*) from {schema}.change c where @wall(c)),
    (select count(*) from thread),
    (select least((select min(t.due_at) from thread t), (select min(d.due_at) from {schema}.due d where @wall(d)))),
    (select count(*) from thread t where t.form_attempts > 0)
        + (select count(*) from {schema}.due d where @wall(d) and d.error is not null),
    (select count(*) from {schema}.message m where @wall(m) and m.parked is not null),
    (select count(*) from {schema}.rejection r where @wall(r))

-- name: due_kinds
-- Count work that is not of a thread, by kind.
select d.kind, count(*) from {schema}.due d where @wall(d) group by d.kind

-- name: formed_lag
-- Give the median and the 95th percentile of how long the last thousand messages waited to be formed.
select percentile_cont(array[0.5, 0.95]) within group (order by n.seconds) from (
    select s.seconds from (
        select l.at, l.seconds from {schema}.lag l where @wall(l) order by l.at desc limit 1000
    ) l cross join unnest(l.seconds) as s (seconds) order by l.at desc limit 1000
) n

-- name: recall_lag
-- Give the same of how long it took until messages had their vectors. Those that were there long before the space
-- was made waited for it, not for their vectors, and are left out.
with newest as (
    select t.key from {schema}.thread t where @wall(t) order by t.updated_at desc limit 50
), said as (
    select m.key, m.recorded_at from newest n cross join lateral (
        select m.key, m.recorded_at from {schema}.message m
        where @reached(m) and m.thread = n.key order by m.seq desc limit 1000
    ) m
    order by m.recorded_at desc limit 1000
)
select percentile_cont(array[0.5, 0.95]) within group (
    order by greatest(extract(epoch from v.made_at - s.recorded_at)::float8, 0)
)
from said s
join {schema}.space a on s.recorded_at >= a.created_at - interval '1 minute'
join {schema}.vector v on v.message = s.key and v.space = a.key and v.chunk = 0
where @wall(a) and a.active and @reached(v)

-- name: expired_facts
-- Give facts that are past their time in their newest version, standing or not, with their owners.
select f.id, f.user_id, f.agent_id, f.run_id from {schema}.fact f
where @reached(f) and f.expires_at <= statement_timestamp() and not exists (
    select 1 from {schema}.fact n where @reached(n) and n.id = f.id and n.version > f.version
)
order by f.expires_at limit %(limit)s

-- name: expired_still
-- Give those of these facts that are past their time in their newest version.
select f.id from {schema}.fact f
where @reached(f) and f.id = any(%(facts)s) and f.expires_at <= statement_timestamp() and not exists (
    select 1 from {schema}.fact n where @reached(n) and n.id = f.id and n.version > f.version
)

-- name: expired_threads
-- Give threads that may have messages past their retention in days: the thread's, else its owner's, else the store's.
select e.key, e.user_id, e.agent_id, e.run_id, e.days from (
    select t.key, t.user_id, t.agent_id, t.run_id, t.retention as days, t.oldest
    from {schema}.thread t where @wall(t) and t.retention is not null
    union all
    select t.key, t.user_id, t.agent_id, t.run_id, o.retention, t.oldest
    from {schema}.owner o join {schema}.thread t
        on t.user_id = o.user_id and t.agent_id = o.agent_id and t.run_id = o.run_id
    where @wall(o) and @wall(t) and o.retention is not null and t.retention is null
    union all
    select t.key, t.user_id, t.agent_id, t.run_id, %(days)s::float8, t.oldest
    from {schema}.thread t
    where %(days)s::float8 is not null and @wall(t) and t.retention is null
        and t.oldest < statement_timestamp() - %(days)s::float8 * interval '1 day' and not exists (
            select 1 from {schema}.owner o
            where @wall(o) and o.user_id = t.user_id and o.agent_id = t.agent_id and o.run_id = t.run_id
                and o.retention is not null
        )
) e
where e.oldest < statement_timestamp() - e.days * interval '1 day'
order by e.oldest, e.key limit %(limit)s

-- name: expired_messages
-- Give messages of threads that are so many days old, oldest first.
select m.key from unnest(%(threads)s::uuid[], %(ages)s::float8[]) as w (thread, days)
cross join lateral (
    select m.key, m.created_at from {schema}.message m
    where @reached(m) and m.thread = w.thread and m.created_at < statement_timestamp() - w.days * interval '1 day'
    order by m.created_at limit %(limit)s
) m
order by m.created_at, m.key limit %(limit)s

-- name: note_oldest
-- Note since when threads have messages. They must be held by an earlier statement.
update {schema}.thread t set oldest = coalesce(
    (select min(m.created_at) from {schema}.message m where @reached(m) and m.thread = t.key), 'infinity'
)
where @reached(t) and t.key = any(%(threads)s)

-- name: hold_threads
-- Hold threads by key.
select t.key from {schema}.thread t where @reached(t) and t.key = any(%(threads)s) order by t.key for update
