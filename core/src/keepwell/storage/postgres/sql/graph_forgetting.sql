-- name: graph_resting
-- Give the mentions in these messages and facts, and how many grounds of each relation and change these are.
with message as (
    select w.key from unnest(%(messages)s::bigint[]) as w (key)
), fact as (
    select w.id from unnest(%(facts)s::uuid[]) as w (id)
)
select 'mention', m.number, m.entity, 0, m.folded from message w cross join lateral (
    select m.number, m.entity, m.folded from {schema}.mention m where @reached(m) and m.message = w.key offset 0
) m
union all
select 'mention', m.number, m.entity, 0, m.folded from fact w cross join lateral (
    select m.number, m.entity, m.folded from {schema}.mention m where @reached(m) and m.fact = w.id offset 0
) m
union all
select 'ground', count(*), g.item, g.version, '' from (
    select g.item, g.version from message w cross join lateral (
        select g.item, g.version from {schema}.ground g where @reached(g) and g.message = w.key offset 0
    ) g
    union all
    select g.item, g.version from fact w cross join lateral (
        select g.item, g.version from {schema}.ground g where @reached(g) and g.fact = w.id offset 0
    ) g
) g group by g.item, g.version

-- name: graph_versions
-- Give versions of relations with their ends, whether they were given and stand, and how many grounds they have. The
-- words that a fact which goes was formed from speak for what rests on that fact no more.
select r.id, r.version, r.subject, r.object, r.given, r.retired_at is null, (
    select count(*) from {schema}.ground g
    where @reached(g) and g.item = r.id and g.version = r.version and not (
        g.message is not null and g.message <> all(%(messages)s::bigint[]) and exists (
            select 1 from {schema}.ground h join {schema}.source s on s.fact = h.fact
            where @reached(h) and @reached(s) and h.item = g.item and h.version = g.version
                and h.fact = any(%(facts)s::uuid[]) and s.message = g.message and s.version > 0
        )
    )
)
from unnest(%(items)s::uuid[], %(versions)s::integer[]) as w (id, version) cross join lateral (
    select r.* from {schema}.relation r where @reached(r) and r.id = w.id and r.version = w.version offset 0
) r

-- name: graph_grounded
-- Give of what these changes are, and when they were made.
select c.id, c.kind, c.relation, c.one, c.at from {schema}.graph_change c
where @reached(c) and c.id = any(%(items)s::uuid[])

-- name: graph_left
-- Give entities, and those that they are taken to be, with what is left of their grounds without these mentions and
-- versions of relations, and their names with whether something else says each.
with asked as (
    select e.id, e.merged_into from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
        select e.id, e.merged_into from {schema}.entity e where @reached(e) and e.id = w.id offset 0
    ) e
), every as (
    select a.id from asked a union select a.merged_into from asked a where a.merged_into is not null
)
select e.id, e.folded, e.merged_into,
    exists (
        select 1 from {schema}.mention m
        where @reached(m) and m.entity = e.id and m.number <> all(%(numbers)s::bigint[])
    ),
    exists (
        select 1 from {schema}.relation r
        where @reached(r) and r.subject = e.id and not exists (
            select 1 from unnest(%(items)s::uuid[], %(versions)s::integer[]) as g (id, version)
            where g.id = r.id and g.version = r.version
        )
    ) or exists (
        select 1 from {schema}.relation r
        where @reached(r) and r.object = e.id and not exists (
            select 1 from unnest(%(items)s::uuid[], %(versions)s::integer[]) as g (id, version)
            where g.id = r.id and g.version = r.version
        )
    ),
    array(select f.id from {schema}.entity f where @reached(f) and f.merged_into = e.id),
    (
        select json_agg(json_build_array(n.folded, n.shown, n.given, exists (
            select 1 from {schema}.mention m
            where @reached(m) and m.entity = e.id and m.folded = n.folded and m.number <> all(%(numbers)s::bigint[])
        )) order by n.key)
        from {schema}.name n where @reached(n) and n.entity = e.id
    )
from every v cross join lateral (
    select e.* from {schema}.entity e where @reached(e) and e.id = v.id offset 0
) e

-- name: relations_of_gone
-- Give all versions of the relations of entities.
select r.id, r.version, r.subject, r.object from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
    select r.id, r.version, r.subject, r.object from {schema}.relation r where @reached(r) and r.subject = w.id
    union
    select r.id, r.version, r.subject, r.object from {schema}.relation r where @reached(r) and r.object = w.id
) r

-- name: changes_of_gone
-- Give the changes that go: of entities and of versions of relations that go, these, and those that tell a name that
-- goes of an entity that stays.
select c.number from {schema}.graph_change c where @reached(c) and c.one = any(%(entities)s::uuid[])
union
select c.number from {schema}.graph_change c where @reached(c) and c.two = any(%(entities)s::uuid[])
union
select c.number from {schema}.graph_change c where @reached(c) and c.id = any(%(changes)s::uuid[])
union
select c.number
from unnest(%(items)s::uuid[], %(versions)s::integer[]) as w (id, version)
join {schema}.graph_change c on c.relation = w.id and w.version in (c.before, c.after)
where @reached(c)
union
select c.number from unnest(%(owners)s::uuid[], %(folds)s::text[]) as w (entity, folded)
join {schema}.graph_change c on c.one = w.entity
where @reached(c) and w.folded = any(string_to_array(c.told, E'\n'))
union
select c.number from unnest(%(owners)s::uuid[], %(folds)s::text[]) as w (entity, folded)
join {schema}.graph_change c on c.two = w.entity
where @reached(c) and w.folded = any(string_to_array(c.told, E'\n'))

-- name: delete_graph
-- Remove mentions, versions of relations, entities, names and changes, with all that hangs on them.
with mention as (
    delete from {schema}.mention m where @reached(m) and m.number = any(%(numbers)s::bigint[])
), relation as (
    delete from {schema}.relation r using unnest(%(items)s::uuid[], %(versions)s::integer[]) as w (id, version)
    where @reached(r) and r.id = w.id and r.version = w.version
), entity as (
    delete from {schema}.entity e where @reached(e) and e.id = any(%(entities)s::uuid[])
), change as (
    delete from {schema}.graph_change c where @reached(c) and c.number = any(%(changes)s::bigint[]) returning c.id
), ground as (
    delete from {schema}.ground g using change c where @reached(g) and g.item = c.id and g.version = 0
), support as (
    delete from {schema}.ground g using unnest(%(items)s::uuid[], %(versions)s::integer[]) as w (id, version)
    where @reached(g) and g.item = w.id and g.version = w.version
), named as (
    delete from {schema}.name n where @reached(n) and n.entity = any(%(entities)s::uuid[]) returning n.key
), said as (
    delete from {schema}.name n using unnest(%(owners)s::uuid[], %(folds)s::text[]) as w (entity, folded)
    where @reached(n) and n.entity = w.entity and n.folded = w.folded returning n.key
)
delete from {schema}.name_gram g using (select d.key from named d union all select s.key from said s) d
where @reached(g) and g.name = d.key

-- name: lose_grounds
-- Take from what stays what it rested on that goes.
with message as (
    delete from {schema}.ground g where @reached(g) and g.message = any(%(messages)s::bigint[])
)
delete from {schema}.ground g where @reached(g) and g.fact = any(%(facts)s::uuid[])

-- name: stand_again
-- Let the newest versions that are left of relations stand again: those whose next version went, and those whose
-- retraction did.
update {schema}.relation r set retired_at = null
from (
    select distinct on (r.id) r.id, r.version, r.retired_at, w.at
    from unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) as w (id, at)
    join {schema}.relation r on r.id = w.id
    where @reached(r) order by r.id, r.version desc
) w
where @reached(r) and r.id = w.id and r.version = w.version and r.retired_at is not null
    and (w.at is null or w.at = w.retired_at)

-- name: rename_entities
-- Give entities another of their names.
update {schema}.entity e set name = w.name, folded = w.folded, version = e.version + 1
from unnest(%(entities)s::uuid[], %(names)s::text[], %(folds)s::text[]) as w (id, name, folded)
where @reached(e) and e.id = w.id

-- name: forget_graph
-- Remove the graph of a scope, and count each kind.
with mention as (
    delete from {schema}.mention m where @scope(m) returning 1
), relation as (
    delete from {schema}.relation r where @scope(r) returning 1
), entity as (
    delete from {schema}.entity e where @scope(e) returning 1
), change as (
    delete from {schema}.graph_change c where @scope(c) returning 1
), ground as (
    delete from {schema}.ground g where @scope(g)
), name as (
    delete from {schema}.name n where @scope(n)
), gram as (
    delete from {schema}.name_gram g where @scope(g)
)
select (select count(*) from entity), (select count(*) from relation), (select count(*) from mention),
    (select count(*) from change)

-- name: graph_remains
-- Count the graph of a scope.
select (select count(*) from {schema}.entity e where @scope(e)),
    (select count(*) from {schema}.relation r where @scope(r)),
    (select count(*) from {schema}.mention m where @scope(m)),
    (select count(*) from {schema}.graph_change c where @scope(c))

-- name: resting_of_thread
-- Give the messages and facts that go with a thread, a message or a fact of a scope.
with recursive message as (
    select m.key from {schema}.thread t join {schema}.message m on m.thread = t.key
    where @scope(t) and @within(m) and %(fact)s::uuid is null and (%(thread)s::uuid is null or t.key = %(thread)s)
        and (%(message)s::text is null or m.id = %(message)s)
), gone (id) as (
    select f.id from {schema}.fact f where @scope(f) and f.id = %(fact)s
    union
    select s.fact from message m cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.message = m.key and s.version > 0 offset 0
    ) s
    union
    select s.fact from gone g cross join lateral (
        select s.fact from {schema}.source s where @reached(s) and s.source_fact = g.id and s.version > 0 offset 0
    ) s
)
select array(select m.key from message m), array(select g.id from gone g)

-- name: relations_with_grounds
-- Give all versions of the relations of entities, with their ends, whether each was given, and how many grounds it has.
select r.id, r.version, r.subject, r.object, r.given, (
    select count(*) from {schema}.ground g where @reached(g) and g.item = r.id and g.version = r.version
)
from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
    select r.* from {schema}.relation r where @reached(r) and r.subject = w.id
    union
    select r.* from {schema}.relation r where @reached(r) and r.object = w.id
) r

-- name: move_graph
-- Give entities and relations with all that hangs on them to another owner.
with entity as (
    update {schema}.entity e set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(e) and e.id = any(%(entities)s::uuid[])
), name as (
    update {schema}.name n set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(n) and n.entity = any(%(entities)s::uuid[])
    returning n.key
), gram as (
    update {schema}.name_gram g set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    from name n where @reached(g) and g.name = n.key
), mention as (
    update {schema}.mention m set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(m) and m.entity = any(%(entities)s::uuid[])
), relation as (
    update {schema}.relation r set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(r) and r.id = any(%(relations)s::uuid[])
), change as (
    update {schema}.graph_change c set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
    where @reached(c) and c.number = any(array(
        select c.number from {schema}.graph_change c
        where @reached(c) and c.relation is null and c.one = any(%(entities)s::uuid[])
        union
        select c.number from {schema}.graph_change c where @reached(c) and c.relation = any(%(relations)s::uuid[])
    ))
    returning c.id
)
update {schema}.ground g set user_id = %(to_user_id)s, agent_id = %(to_agent_id)s, run_id = %(to_run_id)s
where @reached(g) and g.item = any(array(select c.id from change c union all select unnest(%(relations)s::uuid[])))

-- name: lose_grounds_of
-- Take from relations and changes what they rested on of these messages and facts.
delete from {schema}.ground g
where @reached(g) and g.item = any(%(items)s::uuid[])
    and (g.message = any(%(messages)s::bigint[]) or g.fact = any(%(facts)s::uuid[]))

-- name: see_anew
-- Let a moved thread and moved facts be looked through for names once more.
with thread as (
    update {schema}.thread t set graph_to = 0 where @reached(t) and t.key = %(key)s
), fact as (
    select min(f.key) as first, max(f.key) as last from {schema}.fact f
    where @reached(f) and f.id = any(%(facts)s::uuid[])
)
update {schema}.owner o set
    graph_to = least(o.graph_to, f.first - 1), last_fact = greatest(o.last_fact, f.last)
from fact f
where @wall(o) and o.user_id = %(to_user_id)s and o.agent_id = %(to_agent_id)s and o.run_id = %(to_run_id)s
    and f.first is not null

-- name: relations_on_facts
-- Give the newest versions of relations that rest on facts, each with who retracted it where that came last.
select @relation(r), (
    select case c.kind when 'DELETE' then c.actor end from {schema}.graph_change c
    where @reached(c) and c.relation = r.id order by c.number desc limit 1
)
from (
    select distinct g.item from unnest(%(facts)s::uuid[]) as w (id) cross join lateral (
        select g.item from {schema}.ground g where @reached(g) and g.fact = w.id and g.version > 0 offset 0
    ) g
) i
cross join lateral (
    select r.* from {schema}.relation r where @reached(r) and r.id = i.item order by r.version desc limit 1
) r

-- name: facts_grounding
-- Give of versions of facts which version stands and says the same, and the messages that the fact rests on.
select f.id, f.version, (
    select n.version from {schema}.fact n
    where @reached(n) and n.id = f.id and n.retired_at is null and n.fingerprint = f.fingerprint limit 1
), array(
    select distinct s.message from {schema}.source s
    where @reached(s) and s.fact = f.id and s.version > 0 and s.message is not null
)
from unnest(%(facts)s::uuid[], %(versions)s::integer[]) as w (id, version) cross join lateral (
    select f.* from {schema}.fact f where @reached(f) and f.id = w.id and f.version = w.version offset 0
) f
