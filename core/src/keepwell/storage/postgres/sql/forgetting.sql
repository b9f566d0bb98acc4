-- name: hold_owners
-- Hold the rows of the scope's owners, or of the owner of one thread or fact of it: before their threads, as those who
-- form do.
select 1 from {schema}.owner o
where @scope(o) and (%(thread)s::uuid is null or exists (
        select 1 from {schema}.thread t
        where @reached(t) and t.key = %(thread)s and t.user_id = o.user_id and t.agent_id = o.agent_id
            and t.run_id = o.run_id
    )) and (%(fact)s::uuid is null or exists (
        select 1 from {schema}.fact f
        where @reached(f) and f.id = %(fact)s and f.user_id = o.user_id and f.agent_id = o.agent_id
            and f.run_id = o.run_id
    ))
order by o.user_id, o.agent_id, o.run_id for update of o

-- name: hold_known_owner
-- Hold the exact owner's row, where there is one.
select 1 from {schema}.owner o where @owner(o) for update

-- name: hold_threads_of
-- Hold the scope's threads that these messages are in, and give their keys.
select t.key from {schema}.thread t
where @within(t) and t.key = any(array(
    select m.thread from {schema}.message m where @reached(m) and m.key = any(%(messages)s)
))
order by t.key for update

-- name: facts_of_scope
-- Give the facts of a scope.
select array(select distinct f.id from {schema}.fact f where @scope(f))

-- name: facts_resting
-- Give these facts and those that rest, in any version, on these messages or on a fact that is given, whoever's they are.
with recursive gone (id) as (
    select u.id from unnest(%(facts)s::uuid[]) as u (id)
    union
    select s.fact from unnest(%(messages)s::bigint[]) as w (key) cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.message = w.key and s.version > 0 offset 0
    ) s
    union
    select s.fact from gone g cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.source_fact = g.id and s.version > 0 offset 0
    ) s
)
select array_agg(g.id) from gone g

-- name: form_again
-- Mark the messages that these facts rest on, in any version, to be formed again; not those that `own` rest on. What
-- was not formed yet will be anyway.
with wanted as (
    select s.message from {schema}.source s where @reached(s) and s.fact = any(%(facts)s) and s.version > 0
    except
    select s.message from {schema}.source s where @reached(s) and s.fact = any(%(own)s) and s.version > 0
), message as (
    select m.key, m.thread, m.seq from wanted w cross join lateral (
        select m.key, m.thread, m.seq from {schema}.message m where @reached(m) and m.key = w.message offset 0
    ) m
), marked as (
    update {schema}.message m set form_again = true
    where @reached(m) and m.key = any(array(
        select n.key from message n cross join lateral (
            select 1 from {schema}.thread t where @reached(t) and t.key = n.thread and n.seq <= t.formed_to offset 0
        ) t
    ))
)
update {schema}.thread t set
    due_at = least(t.due_at, clock_timestamp()), due_from = least(t.due_from, clock_timestamp())
where @reached(t) and t.key = any(array(select n.thread from message n))

-- name: delete_changes
-- Remove the changes of these facts, and those that name them or these messages among what they rest on; give their
-- number.
with named as (
    select c.id from {schema}.change c where @reached(c) and c.fact = any(%(facts)s)
    union
    select s.fact from unnest(%(messages)s::bigint[]) as w (key) cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.message = w.key and s.version = 0 offset 0
    ) s
    union
    select s.fact from unnest(%(facts)s::uuid[]) as w (id) cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.source_fact = w.id and s.version = 0 offset 0
    ) s
), change as (
    delete from {schema}.change c
    where @reached(c) and c.id = any(array(select n.id from named n)) returning c.id
), source as (
    delete from {schema}.source s using change c where @reached(s) and s.fact = c.id and s.version = 0
)
select count(*) from change

-- name: delete_facts
-- Remove facts in all their versions with all that hangs on them, and count each kind.
with gone as (
    delete from {schema}.fact f where @reached(f) and f.id = any(%(facts)s)
    returning -f.key as message, f.id::text as item, f.user_id, f.agent_id, f.run_id, f.terms, f.retired_at
), source as (
    delete from {schema}.source s where @reached(s) and s.fact = any(%(facts)s) and s.version > 0 returning 1
), posted as materialized (
    select p.ctid from gone g cross join lateral string_to_table(g.terms, ' ') as w (term)
    cross join lateral (
        select p.ctid from {schema}.posting p
        where @wall(p) and p.user_id = g.user_id and p.term = w.term and p.message = g.message offset 0
    ) p
    where g.retired_at is null
), posting as (
    delete from {schema}.posting p where @reached(p) and p.ctid = any(array(select d.ctid from posted d))
    returning 1
), vector as (
    delete from {schema}.vector v using gone g where @reached(v) and v.message = g.message returning 1
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, g.user_id, g.agent_id, g.run_id, g.message from gone g
), due as (
    delete from {schema}.due d
    using (select distinct g.user_id, g.agent_id, g.run_id, g.item from gone g) g
    cross join (values ('embed'), ('reform')) as k (kind)
    where @wall(d) and d.kind = k.kind and d.user_id = g.user_id and d.agent_id = g.agent_id and d.run_id = g.run_id
        and d.item = g.item
    returning 1
), owner as (
    update {schema}.owner o set facts = o.facts - g.facts, length = o.length - g.length
    from (
        select g.user_id, g.agent_id, g.run_id, count(*) as facts,
            coalesce(sum(cardinality(string_to_array(nullif(g.terms, ''), ' '))), 0) as length
        from gone g where g.retired_at is null group by g.user_id, g.agent_id, g.run_id
    ) g
    where @wall(o) and o.user_id = g.user_id and o.agent_id = g.agent_id and o.run_id = g.run_id
)
select (select count(distinct g.item) from gone g), (select count(*) from gone), (select count(*) from source),
    (select count(*) from posting), (select count(*) from vector), (select count(*) from due)

-- name: settle_due
-- Take threads off what is due that have nothing left to be formed.
update {schema}.thread t set due_at = null, due_from = null
where @reached(t) and t.key = any(%(threads)s) and t.due_from is not null and not exists (
    select 1 from {schema}.message m
    where @wall(m) and m.thread = t.key and m.parked is null and (m.seq > t.formed_to or m.form_again)
)

-- name: forget_owners
-- Remove what is left of a scope's owners: decisions, rejections of its views, due work, model calls and their rows.
with change as (
    delete from {schema}.change c where @scope(c) returning c.id
), source as (
    delete from {schema}.source s using change c where @reached(s) and s.fact = c.id and s.version = 0
), rejection as (
    delete from {schema}.rejection r where @scope(r) and (%(across)s or not r.across_users) returning 1
), due as (
    delete from {schema}.due d where @scope(d) returning 1
), call as (
    delete from {schema}.model_call c where @scope(c) returning 1
), owner as (
    delete from {schema}.owner o where @scope(o)
)
select (select count(*) from change), (select count(*) from rejection), (select count(*) from due),
    (select count(*) from call)

-- name: remains
-- Count what is there of a scope, or of one thread, message or fact of it, place by place.
with recursive thread as (
    select t.key from {schema}.thread t
    where @scope(t) and %(fact)s::uuid is null and (%(thread)s::uuid is null or t.key = %(thread)s)
), message as (
    select m.key, m.thread, m.seq, m.terms, m.user_id from thread t join {schema}.message m on m.thread = t.key
    where @within(m) and (%(message)s::text is null or m.id = %(message)s)
), gone (id) as (
    select f.id from {schema}.fact f
    where @scope(f) and %(thread)s::uuid is null and %(message)s::text is null
        and (%(fact)s::uuid is null or f.id = %(fact)s)
    union
    select s.fact from message m cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.message = m.key and s.version > 0 offset 0
    ) s
    union
    select s.fact from gone g cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.source_fact = g.id and s.version > 0 offset 0
    ) s
), fact as (
    select f.id, -f.key as key, f.id::text as item, f.terms, f.user_id, f.agent_id, f.run_id, (@scope(f)) as mine
    from gone g cross join lateral (select f.* from {schema}.fact f where @reached(f) and f.id = g.id offset 0) f
), whole as (
    select %(thread)s::uuid is null and %(message)s::text is null and %(fact)s::uuid is null as whole
), item as (
    select m.key, m.terms, m.user_id from message m cross join whole w where not w.whole
    union all
    select f.key, f.terms, f.user_id from fact f cross join whole w where not (w.whole and f.mine)
)
select
    (select count(*) from thread where %(message)s::text is null),
    (select count(*) from message),
    (select count(*) from {schema}.version v
        where @scope(v) and (w.whole or (v.thread, v.seq) in (select m.thread, m.seq from message m))),
    (select count(*) from item i
        cross join lateral (select distinct u.term from string_to_table(i.terms, ' ') as u (term)) u
        cross join lateral (
            select 1 from {schema}.posting p
            where @wall(p) and p.user_id = i.user_id and p.term = u.term and p.message = i.key offset 0
        ) p) + (select count(*) from {schema}.posting p where @scope(p) and w.whole),
    (select count(*) from {schema}.vector v where @scope(v) and w.whole)
        + (select count(*) from {schema}.vector v where @reached(v) and v.message = any(array(select i.key from item i))),
    (select count(*) from {schema}.request r
        where @scope(r) and (w.whole or %(message)s::text is null and r.answer ->> 'thread' = %(thread)s::text)),
    (select count(distinct f.id) from fact f), (select count(*) from fact),
    (select count(*) from {schema}.change c where @scope(c) and w.whole)
        + (select count(*) from {schema}.change c
            where @reached(c) and not (w.whole and (@scope(c))) and c.number = any(array(
                select c.number from gone g cross join lateral (
                    select c.number from {schema}.change c where @reached(c) and c.fact = g.id offset 0
                ) c
                union
                select c.number from (
                    select s.fact from message m cross join lateral (
                        select s.fact from {schema}.source s
                        where @reached(s) and s.message = m.key and s.version = 0 offset 0
                    ) s
                    union
                    select s.fact from gone g cross join lateral (
                        select s.fact from {schema}.source s
                        where @reached(s) and s.source_fact = g.id and s.version = 0 offset 0
                    ) s
                ) n cross join lateral (
                    select c.number from {schema}.change c where @reached(c) and c.id = n.fact offset 0
                ) c
            ))),
    (select count(*) from gone g cross join lateral (
        select 1 from {schema}.source s where @reached(s) and s.fact = g.id and s.version > 0 offset 0
    ) s),
    (select count(*) from {schema}.rejection r where @scope(r) and w.whole and (%(across)s or not r.across_users)),
    (select count(*) from {schema}.due d where @scope(d) and w.whole) + (
        select count(*)
        from (select distinct f.item, f.user_id, f.agent_id, f.run_id from fact f where not (w.whole and f.mine)) f
        cross join (values ('embed'), ('reform')) as k (kind) cross join lateral (
            select 1 from {schema}.due d
            where @wall(d) and d.kind = k.kind and d.user_id = f.user_id and d.agent_id = f.agent_id
                and d.run_id = f.run_id and d.item = f.item offset 0
        ) d
    ),
    (select count(*) from {schema}.model_call c where @scope(c) and w.whole)
from whole w
