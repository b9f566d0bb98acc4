-- name: history_newest
-- Give a page of the scope's changes, the newest first.
select c.number, c.id, c.kind, c.fact, c.user_id, c.agent_id, c.run_id, c.before, c.after, c.reason, c.actor, c.batch,
    c.cause, c.sources, c.at
from {schema}.change c
where @scope(c) and (c.at, c.number) < (%(at)s, %(number)s::bigint)
    and (%(actor)s::text is null or c.actor = %(actor)s)
    and (%(since)s::timestamptz is null or c.at >= %(since)s)
    and (%(until)s::timestamptz is null or c.at < %(until)s)
order by c.at desc, c.number desc limit %(limit)s

-- name: history_oldest
-- Give a page of the scope's changes, the oldest first.
select c.number, c.id, c.kind, c.fact, c.user_id, c.agent_id, c.run_id, c.before, c.after, c.reason, c.actor, c.batch,
    c.cause, c.sources, c.at
from {schema}.change c
where @scope(c) and (c.at, c.number) > (%(at)s, %(number)s::bigint)
    and (%(actor)s::text is null or c.actor = %(actor)s)
    and (%(since)s::timestamptz is null or c.at >= %(since)s)
    and (%(until)s::timestamptz is null or c.at < %(until)s)
order by c.at, c.number limit %(limit)s

-- name: history_of
-- Give the scope's changes of a fact, of a batch, with a cause or with these ids (all that are given), oldest first.
select c.number, c.id, c.kind, c.fact, c.user_id, c.agent_id, c.run_id, c.before, c.after, c.reason, c.actor, c.batch,
    c.cause, c.sources, c.at
from {schema}.change c
where @within(c) and c.number = any(array(
        select c.number from {schema}.change c where @reached(c) and c.fact = %(fact)s
        union
        select c.number from {schema}.change c where @reached(c) and c.batch = %(batch)s
        union
        select c.number from {schema}.change c where @reached(c) and c.cause = %(cause)s
        union
        select c.number from {schema}.change c where @reached(c) and c.id = any(%(ids)s)
    ))
    and (%(fact)s::uuid is null or c.fact = %(fact)s)
    and (%(batch)s::uuid is null or c.batch = %(batch)s)
    and (%(cause)s::uuid is null or c.cause = %(cause)s)
    and (%(ids)s::uuid[] is null or c.id = any(%(ids)s))
    and (%(actor)s::text is null or c.actor = %(actor)s)
    and (%(since)s::timestamptz is null or c.at >= %(since)s)
    and (%(until)s::timestamptz is null or c.at < %(until)s)
order by c.at, c.number

-- name: list_rejections
-- Give the rejections of views that see nothing else than the scope does, with the reasons that history has for them.
select r.id, r.user_id, r.agent_id, r.run_id, r.at, r.change is null, c.reason
from {schema}.rejection r
left join lateral (
    select c.reason from {schema}.change c where @reached(c) and c.id = r.change offset 0
) c on true
where @scope(r) and (%(across)s or not r.across_users)
order by r.id desc

-- name: lift_rejections
-- Lift rejections of views that see nothing else than the scope does.
with gone as (
    delete from {schema}.rejection r
    where @scope(r) and (%(across)s or not r.across_users) and (%(ids)s::bigint[] is null or r.id = any(%(ids)s))
    returning 1
)
select count(*) from gone

-- name: known_versions
-- Give the versions that are there of these facts, whoever's they are.
select f.id, f.version, f.key, f.recorded_at, f.retired_at, f.user_id, f.agent_id, f.run_id
from {schema}.fact f where @reached(f) and f.id = any(%(ids)s) order by f.id, f.version

-- name: known_changes
-- Give those of these changes that are there.
select c.id from {schema}.change c where @reached(c) and c.id = any(%(ids)s)
