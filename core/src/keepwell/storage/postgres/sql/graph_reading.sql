-- name: names_exactly
-- Give the scope's entities that have one of these names, by what they are taken to be.
select w.n, n.shown, 1::float8 as score, coalesce(e.merged_into, e.id) as id
from unnest(%(folds)s::text[]) with ordinality as w (folded, n)
cross join lateral (
    select n.entity, n.shown from {schema}.name n where @scope(n) and n.folded = w.folded offset 0
) n
cross join lateral (
    select e.id, e.merged_into from {schema}.entity e where @reached(e) and e.id = n.entity offset 0
) e

-- name: names_alike
-- Give the scope's entities with a name that has much in common with one of these, each by its best name.
with asked as (
    select w.n, g.gram, count(*) over (partition by w.n) as size
    from unnest(%(grams)s::text[]) with ordinality as w (grams, n)
    cross join lateral string_to_table(w.grams, E'\n') as g (gram)
    where g.gram <> ''
), met as (
    select a.n, p.name, count(*) as shared, max(a.size) as size
    from asked a cross join lateral (
        select p.name from {schema}.name_gram p where @scope(p) and p.gram = a.gram offset 0
    ) p
    group by a.n, p.name
    having count(*) >= %(least)s::float8 * max(a.size)
)
select m.n, n.shown, m.shared::float8 / (m.size + n.size - m.shared) as score, coalesce(e.merged_into, e.id) as id
from met m
cross join lateral (
    select n.entity, n.shown, n.size from {schema}.name n where @within(n) and n.key = m.name offset 0
) n
cross join lateral (
    select e.id, e.merged_into from {schema}.entity e where @reached(e) and e.id = n.entity offset 0
) e
where m.shared::float8 / (m.size + n.size - m.shared) >= %(least)s
order by score desc limit %(most)s

-- name: entities_by_id
-- Give the scope's entities of these ids, with those that they are taken to be and all that is taken to be those.
with asked as (
    select e.id, e.merged_into from unnest(%(ids)s::uuid[]) as w (id) cross join lateral (
        select e.id, e.merged_into from {schema}.entity e where @within(e) and e.id = w.id offset 0
    ) e
), root as (
    select distinct coalesce(a.merged_into, a.id) as id from asked a
), every as (
    select r.id from root r union select f.id from root r cross join lateral (
        select f.id from {schema}.entity f where @within(f) and f.merged_into = r.id offset 0
    ) f
)
select f.* from every v cross join lateral (
    select @entity(e) from {schema}.entity e where @within(e) and e.id = v.id offset 0
) f

-- name: list_entities
-- Give a page of the scope's entities that are taken to be themselves, seen last first, then those that never were.
(
    select e.id, e.last_seen from {schema}.entity e
    where @scope(e) and e.merged_into is null and e.retired_at is null and e.last_seen is not null
        and (%(type)s::text is null or e.type = %(type)s)
        and (%(id)s::uuid is null or (e.last_seen, e.id) < (%(at)s::timestamptz, %(id)s))
    order by e.last_seen desc, e.id desc limit %(limit)s
)
union all
(
    select e.id, null from {schema}.entity e
    where @scope(e) and e.merged_into is null and e.retired_at is null and e.last_seen is null
        and (%(type)s::text is null or e.type = %(type)s)
        and (%(id)s::uuid is null or %(at)s::timestamptz is not null or e.id < %(id)s)
    order by e.id desc limit %(limit)s
)
limit %(limit)s

-- name: list_relations
-- Give the scope's relations, recorded last first.
select @relation(r) from {schema}.relation r
where @scope(r) and case
        when %(as_of)s::timestamptz is not null
            then r.recorded_at <= %(as_of)s and (r.retired_at is null or r.retired_at > %(as_of)s)
        else %(versions)s::boolean or r.retired_at is null
    end
    and (%(valid_at)s::timestamptz is null
        or coalesce(r.valid_from <= %(valid_at)s, true) and coalesce(r.valid_to > %(valid_at)s, true))
order by r.recorded_at desc, r.id, r.version desc limit %(limit)s

-- name: list_relations_of
-- Do the same among relations of these ids, or of these entities.
with wanted as (
    select r.id from unnest(%(ids)s::uuid[]) as w (id) cross join lateral (
        select r.id from {schema}.relation r where @within(r) and r.id = w.id offset 0
    ) r
    union
    select r.id from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
        select r.id from {schema}.relation r where @within(r) and r.subject = w.id offset 0
    ) r
    union
    select r.id from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
        select r.id from {schema}.relation r where @within(r) and r.object = w.id offset 0
    ) r
)
select r.* from wanted w cross join lateral (
    select @relation(r) from {schema}.relation r
    where @within(r) and r.id = w.id and case
            when %(as_of)s::timestamptz is not null
                then r.recorded_at <= %(as_of)s and (r.retired_at is null or r.retired_at > %(as_of)s)
            else %(versions)s::boolean or r.retired_at is null
        end
        and (%(valid_at)s::timestamptz is null
            or coalesce(r.valid_from <= %(valid_at)s, true) and coalesce(r.valid_to > %(valid_at)s, true))
    offset 0
) r
order by r.recorded_at desc, r.id, r.version desc limit %(limit)s

-- name: read_mentions
-- Give mentions of these entities, newest first.
select m.* from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
    select m.number, m.entity, m.message, m.fact, m.fact_version, m.span_start, m.span_end, m.surface, m.at
    from {schema}.mention m
    where @within(m) and m.entity = w.id and (%(before)s::bigint is null or m.number < %(before)s)
    order by m.number desc limit %(limit)s
) m
order by m.number desc limit %(limit)s

-- name: read_mentions_in
-- Give the mentions in these messages and versions of facts.
select m.number, m.entity, m.message, m.fact, m.fact_version, m.span_start, m.span_end, m.surface, m.at
from {schema}.mention m
where @within(m) and (m.message = any(%(messages)s::bigint[]) or m.number = any(array(
        select n.number from {schema}.fact f join {schema}.mention n on n.fact = f.id and n.fact_version = f.version
        where @within(f) and @within(n) and f.key = any(%(facts)s::bigint[])
    )))
    and (%(before)s::bigint is null or m.number < %(before)s)
order by m.number desc limit %(limit)s

-- name: edges
-- Give the relations of entities, each once with both ends as they are taken to be, the latest of each entity first.
with member as (
    select w.id, w.id as member from unnest(%(entities)s::uuid[]) as w (id)
    union all
    select w.id, f.id from unnest(%(entities)s::uuid[]) as w (id) cross join lateral (
        select f.id from {schema}.entity f where @within(f) and f.merged_into = w.id offset 0
    ) f
), edge as (
    select r.id, r.version, r.subject, r.object, r.recorded_at from member m cross join lateral (
        (
            select r.id, r.version, r.subject, r.object, r.recorded_at from {schema}.relation r
            where @within(r) and r.subject = m.member and @use(edge_holds)
            order by r.recorded_at desc limit %(fan)s
        )
        union all
        (
            select r.id, r.version, r.subject, r.object, r.recorded_at from {schema}.relation r
            where @within(r) and r.object = m.member and @use(edge_holds)
            order by r.recorded_at desc limit %(fan)s
        )
    ) r
), one as (
    select distinct on (d.id) d.id, d.version, d.subject, d.object from edge d order by d.id, d.version desc
)
select o.id, o.version, coalesce(s.merged_into, s.id), coalesce(t.merged_into, t.id)
from one o
cross join lateral (
    select s.id, s.merged_into from {schema}.entity s
    where @reached(s) and s.id = o.subject and s.retired_at is null offset 0
) s
cross join lateral (
    select t.id, t.merged_into from {schema}.entity t
    where @reached(t) and t.id = o.object and t.retired_at is null offset 0
) t

-- name: edge_holds
-- Whether a relation is one to be followed.
case
    when %(as_of)s::timestamptz is not null
        then r.recorded_at <= %(as_of)s and (r.retired_at is null or r.retired_at > %(as_of)s)
    else r.retired_at is null
end
and (%(valid_at)s::timestamptz is null
    or coalesce(r.valid_from <= %(valid_at)s, true) and coalesce(r.valid_to > %(valid_at)s, true))

-- name: relations_by_version
-- Give versions of relations.
select r.* from unnest(%(ids)s::uuid[], %(versions)s::integer[]) as w (id, version) cross join lateral (
    select @relation(r) from {schema}.relation r where @within(r) and r.id = w.id and r.version = w.version offset 0
) r

-- name: texts_of
-- Give the texts that name these entities, the newest of each: messages, and facts that are held.
select w.id, w.n, x.key, x.at
from unnest(%(entities)s::uuid[], %(members)s::uuid[]) with ordinality as w (id, member, n)
cross join lateral (
    select m.message, m.fact, m.fact_version, m.at from {schema}.mention m
    where @within(m) and m.entity = w.member order by m.number desc limit %(each)s
) m
cross join lateral (
    select m.message as key, m.at where m.message is not null
    union all
    select -f.key, m.at from {schema}.fact f
    where @within(f) and f.id = m.fact and f.version = m.fact_version and @use(fact_held)
) x

-- name: fact_held
-- Whether a version of a fact is, or was, held.
case
    when %(as_of)s::timestamptz is not null
        then f.recorded_at <= %(as_of)s and (f.retired_at is null or f.retired_at > %(as_of)s)
    else f.retired_at is null and not f.reopened
end

-- name: support
-- Give the texts behind entities within two relations in one go, nearest first and then newest: where the way starts,
-- what it reaches, and what its relations rest on.
with named as materialized (
    select coalesce(e.merged_into, e.id) as id, n.shown as asked
    from unnest((select %(folds)s::text[])) as w (folded)
    cross join lateral (
        select n.entity, n.shown from {schema}.name n where @scope(n) and n.folded = w.folded limit %(fan)s
    ) n
    cross join lateral (
        select e.id, e.merged_into from {schema}.entity e
        where @reached(e) and e.id = n.entity and e.retired_at is null offset 0
    ) e
), close as materialized (
    select c.id, c.score from (@use(close_entities)) c
    where %(beside)s::boolean or not exists (select 1 from named)
), alike as materialized (
    select c.id, c.score from close c
    where c.score >= greatest(%(least)s::float8, (select max(m.score) from close m) - %(spread)s::float8)
), asked as materialized (
    select distinct on (id) id, asked from (
        select n.id, n.asked from named n
        union all
        select a.id, '' from alike a
        union all
        select coalesce(e.merged_into, e.id), '' from unnest((select %(entities)s::uuid[])) as w (id) cross join lateral (
            select e.id, e.merged_into from {schema}.entity e
            where @within(e) and e.id = w.id and e.retired_at is null offset 0
        ) e
    ) a order by id, asked desc
), near as materialized (
    select a.id, a.id as member from asked a
    union all
    select a.id, f.id from asked a cross join lateral (
        select f.id from {schema}.entity f where @within(f) and f.merged_into = a.id offset 0
    ) f
), edge as materialized (
    select distinct on (d.id) d.id, d.version, d.predicate, coalesce(e.merged_into, e.id) as other, d.recorded_at
    from (
        select r.* from near m cross join lateral (
            (
                select r.id, r.version, r.predicate, r.object as other, r.recorded_at from {schema}.relation r
                where @within(r) and r.subject = m.member and @use(edge_holds)
                order by r.recorded_at desc limit %(fan)s
            )
            union all
            (
                select r.id, r.version, r.predicate, r.subject, r.recorded_at from {schema}.relation r
                where @within(r) and r.object = m.member and @use(edge_holds)
                order by r.recorded_at desc limit %(fan)s
            )
        ) r
        where (select %(hops)s::integer) > 0
    ) d
    cross join lateral (
        select e.id, e.merged_into from {schema}.entity e
        where @reached(e) and e.id = d.other and e.retired_at is null offset 0
    ) e
    order by d.id
), first as materialized (
    select e.other as id from edge e where not exists (select 1 from asked a where a.id = e.other)
    group by e.other order by max(e.recorded_at) desc limit %(fan)s
), next as materialized (
    select f.id, f.id as member from first f
    union all
    select f.id, g.id from first f cross join lateral (
        select g.id from {schema}.entity g where @within(g) and g.merged_into = f.id offset 0
    ) g
), farther as materialized (
    select distinct on (d.id) d.id, d.version, d.predicate, coalesce(e.merged_into, e.id) as other, d.recorded_at
    from (
        select r.* from next m cross join lateral (
            (
                select r.id, r.version, r.predicate, r.object as other, r.recorded_at from {schema}.relation r
                where @within(r) and r.subject = m.member and @use(edge_holds)
                order by r.recorded_at desc limit %(fan)s / 4
            )
            union all
            (
                select r.id, r.version, r.predicate, r.subject, r.recorded_at from {schema}.relation r
                where @within(r) and r.object = m.member and @use(edge_holds)
                order by r.recorded_at desc limit %(fan)s / 4
            )
        ) r
        where (select %(hops)s::integer) > 1
        order by r.recorded_at desc limit 16 * %(fan)s::integer
    ) d
    cross join lateral (
        select e.id, e.merged_into from {schema}.entity e
        where @reached(e) and e.id = d.other and e.retired_at is null offset 0
    ) e
    where not exists (select 1 from edge g where g.id = d.id)
    order by d.id
), second as materialized (
    select f.other as id from farther f
    where not exists (select 1 from asked a where a.id = f.other)
        and not exists (select 1 from first g where g.id = f.other)
    group by f.other order by max(f.recorded_at) desc limit %(fan)s
), reached as materialized (
    select n.id, n.member, 0 as hops from near n
    union all
    select f.id, f.id, 1 from first f
    union all
    select n.id, n.member, 1 from next n where n.id <> n.member
    union all
    select s.id, s.id, 2 from second s
), ground as materialized (
    select d.hops, d.other, d.relation, g.message, g.fact, g.fact_version
    from (
        select 1 as hops, e.other, e.id as relation, e.version from edge e
        union all
        select 2, f.other, f.id, f.version from farther f
    ) d
    cross join lateral (
        select g.message, g.fact, g.fact_version from {schema}.ground g
        where @reached(g) and g.item = d.relation and g.version = d.version limit %(each)s
    ) g
    limit 4 * %(limit)s::integer
), said as (
    select r.hops, r.id as entity, null::uuid as relation, m.message, m.fact, m.fact_version, m.at
    from reached r cross join lateral (
        select m.message, m.fact, m.fact_version, m.at from {schema}.mention m
        where @within(m) and m.entity = r.member order by m.number desc
        limit case r.hops when 2 then 2 else %(each)s end
    ) m
    union all
    select g.hops, g.other, g.relation, g.message, g.fact, g.fact_version, null from ground g
), text as (
    select r.hops, r.entity, r.relation, r.message as key, r.at from said r where r.message is not null
    union all
    select r.hops, r.entity, r.relation, -f.key, r.at from said r cross join lateral (
        select f.key from {schema}.fact f
        where @within(f) and f.id = r.fact and f.version = r.fact_version and @use(fact_held) offset 0
    ) f
    where r.fact is not null
), chosen as (
    select t.hops, t.entity, t.relation, t.key from text t
    order by t.hops, t.relation is null, t.at desc nulls first, t.key desc limit %(limit)s
)
select 'text', c.hops, c.entity, c.relation, c.key, null from chosen c
union all
select 'asked', 0, a.id, null, null, a.asked from asked a
union all
select 'near', 0, a.id, null, null, a.score::text from alike a
union all
select 'name', 0, n.id, null, null, e.name
from (select distinct c.entity as id from chosen c union select a.id from asked a) n
cross join lateral (select e.name from {schema}.entity e where @reached(e) and e.id = n.id offset 0) e
union all
select 'predicate', 0, null, p.id, null, p.predicate
from (select e.id, e.predicate from edge e union all select f.id, f.predicate from farther f) p
where exists (select 1 from chosen c where c.relation = p.id)
union all
select 'way', 0, w.other, null, null, w.predicate
from (select e.other, e.predicate from edge e union select f.other, f.predicate from farther f) w
where exists (select 1 from chosen c where c.entity = w.other)

-- name: together
-- Give who else is named in texts, by entity and how often, with the analysed terms of the texts.
select w.n, m.entity from unnest(%(messages)s::bigint[]) with ordinality as w (key, n) cross join lateral (
    select distinct coalesce(e.merged_into, e.id) as entity from {schema}.mention m
    join {schema}.entity e on e.id = m.entity
    where @within(m) and @within(e) and m.message = w.key
) m

-- name: together_in_facts
-- Do the same for versions of facts, by their keys.
select w.n, m.entity from unnest(%(facts)s::bigint[]) with ordinality as w (key, n)
join {schema}.fact f on f.key = w.key
cross join lateral (
    select distinct coalesce(e.merged_into, e.id) as entity from {schema}.mention m
    join {schema}.entity e on e.id = m.entity
    where @within(m) and @within(e) and m.fact = f.id and m.fact_version = f.version
) m
where @within(f)

-- name: terms_of
-- Give the analysed terms of messages and facts by key.
select m.key, m.terms from {schema}.message m where @within(m) and m.key = any(%(messages)s::bigint[])
union all
select -f.key, f.terms from {schema}.fact f where @within(f) and f.key = any(%(facts)s::bigint[])

-- name: graph_history
-- Give a page of the scope's changes of the graph.
select c.number, c.id, c.kind, c.user_id, c.agent_id, c.run_id, c.relation, c.one, c.two, c.before, c.after,
    c.entity_before, c.entity_after, c.moved, c.reason, c.actor, c.batch, c.cause, c.at,
    (select json_agg(json_build_array(g.message, g.span_start, g.span_end, g.fact, g.fact_version))
        from {schema}.ground g where @reached(g) and g.item = c.id and g.version = 0)
from {schema}.graph_change c
where @scope(c)
    and case when %(oldest)s::boolean then (c.at, c.number) > (%(at)s, %(number)s::bigint)
        else (c.at, c.number) < (%(at)s, %(number)s::bigint) end
    and (%(actor)s::text is null or c.actor = %(actor)s)
    and (%(since)s::timestamptz is null or c.at >= %(since)s)
    and (%(until)s::timestamptz is null or c.at < %(until)s)
    and (not %(narrow)s::boolean or c.number = any(array(
        select c.number from {schema}.graph_change c where @reached(c) and c.one = any(%(entities)s::uuid[])
        union
        select c.number from {schema}.graph_change c where @reached(c) and c.two = any(%(entities)s::uuid[])
        union
        select c.number from {schema}.graph_change c where @reached(c) and c.relation = %(relation)s::uuid
        union
        select c.number from {schema}.graph_change c where @reached(c) and c.batch = %(batch)s::uuid
        union
        select c.number from {schema}.graph_change c where @reached(c) and c.id = any(%(ids)s::uuid[])
    )))
    and (%(entities)s::uuid[] is null or c.one = any(%(entities)s) or c.two = any(%(entities)s))
    and (%(relation)s::uuid is null or c.relation = %(relation)s)
    and (%(batch)s::uuid is null or c.batch = %(batch)s)
    and (%(ids)s::uuid[] is null or c.id = any(%(ids)s))
order by case when %(oldest)s::boolean then c.at end, case when %(oldest)s::boolean then c.number end,
    c.at desc, c.number desc
limit %(limit)s

-- name: count_graph
-- Count the graph of a tenant, and what was not looked through.
select (select count(*) from {schema}.entity e where @wall(e) and e.merged_into is null and e.retired_at is null),
    (select count(*) from {schema}.relation r where @wall(r) and r.retired_at is null),
    (select count(*) from {schema}.mention m where @wall(m)),
    (select count(*) from {schema}.graph_change c where @wall(c)),
    (select coalesce(sum(t.last_seq - t.graph_to), 0)::bigint from {schema}.thread t where @wall(t))
        + (select count(*) from {schema}.message m where @wall(m) and m.graph_again)
        + (select count(*) from {schema}.owner o where @wall(o) and o.graph_to < o.last_fact)
