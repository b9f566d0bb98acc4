-- name: due_entities
-- Give entities without an embedding in the space in use: with names, and what standing relations say they are.
select e.id, e.stated_by::text, @use(entity_words) from {schema}.entity e
where @wall(e) and e.space is null and e.merged_into is null and e.retired_at is null
    and exists (select 1 from {schema}.space s where @wall(s) and s.key = %(space)s and s.active)
order by e.id limit %(limit)s

-- name: missing_entities
-- Give entities without an embedding in a space, by id.
select e.id, e.stated_by::text, @use(entity_words) from {schema}.entity e
where @wall(e) and e.id > %(after)s and e.merged_into is null and e.retired_at is null and not exists (
    select 1 from {schema}.entity_vector v where @reached(v) and v.entity = e.id and v.space = %(space)s
)
order by e.id limit %(limit)s

-- name: entity_words
-- The type of an entity and its name, its other names, and the predicates of relations without an end that have it as
-- their subject; with those of what was merged into it.
e.type, e.name, array(
    select n.shown from {schema}.name n
    where @reached(n) and n.folded <> e.folded and n.entity = any(
        e.id || array(select f.id from {schema}.entity f where @reached(f) and f.merged_into = e.id)
    )
    order by n.key limit 8
), array(
    select distinct r.predicate from {schema}.relation r
    where @reached(r) and r.retired_at is null and r.valid_to is null and r.subject = any(
        e.id || array(select f.id from {schema}.entity f where @reached(f) and f.merged_into = e.id)
    )
    order by r.predicate limit 8
)

-- name: hold_owners_of_entities
-- Hold the owners of entities.
select 1 from {schema}.owner o
where @wall(o) and (o.user_id, o.agent_id, o.run_id) in (
    select e.user_id, e.agent_id, e.run_id from {schema}.entity e where @reached(e) and e.id = any(%(entities)s::uuid[])
)
order by o.user_id, o.agent_id, o.run_id for update

-- name: share_space
-- Keep a space from being switched meanwhile.
select s.key from {schema}.space s where @wall(s) and s.key = %(space)s for share

-- name: put_entity_vectors
-- Keep embeddings of entities that still are what was embedded, and count them; one that means nothing is only noted.
with item as materialized (
    select * from unnest(%(entities)s::uuid[], %(versions)s::text[], %(means)s::boolean[])
        with ordinality as i (id, version, means, n)
), still as materialized (
    select e.id, e.user_id, e.agent_id, e.run_id, i.n, i.means from item i cross join lateral (
        select e.id, e.user_id, e.agent_id, e.run_id from {schema}.entity e
        where @reached(e) and e.id = i.id and i.version in ('', e.stated_by::text)
            and e.merged_into is null and e.retired_at is null offset 0
    ) e
), kept as (
    insert into {schema}.entity_vector (tenant, user_id, agent_id, run_id, space, entity, embedding)
    select %(tenant)s, t.user_id, t.agent_id, t.run_id, s.key, t.id,
        (%(vectors)s::real[])[(t.n - 1) * s.dimension + 1 : t.n * s.dimension]::{vector}
    from still t join {schema}.space s on s.key = %(space)s
    where @wall(s) and t.means
    on conflict (entity, space, tenant) do update set embedding = excluded.embedding
), noted as (
    update {schema}.entity e set space = %(space)s from still t
    where @reached(e) and e.id = t.id
        and exists (select 1 from {schema}.space s where @wall(s) and s.key = %(space)s and s.active)
)
select count(*) from still t where exists (select 1 from {schema}.space s where @wall(s) and s.key = %(space)s)

-- name: switch_entities
-- Note which entities have an embedding of the space that is brought into use; for the others one is due.
update {schema}.entity e set space = (
    select v.space from {schema}.entity_vector v where @reached(v) and v.entity = e.id and v.space = %(space)s
)
where @wall(e) and (e.space is not null or exists (
    select 1 from {schema}.entity_vector v where @reached(v) and v.entity = e.id and v.space = %(space)s
))

-- name: entities_near
-- Give the scope's entities whose embeddings are close to a text, best first.
with close as materialized (
    @use(close_entities)
)
select c.id, c.score from close c where c.score >= greatest(%(least)s::float8, (select max(m.score) from close m) - %(spread)s::float8)
order by c.score desc, c.id

-- name: close_entities
-- The scope's entities with the embeddings that are nearest to one, among ten thousand at most.
select f.id, -f.far as score from (
    select v.entity as id, v.embedding operator({extensions}.<#>) %(vector)s::{vector} as far
    from (
        select v.entity, v.embedding from {schema}.entity_vector v
        where @scope(v) and v.space = %(space)s::integer limit 10000
    ) v
    order by far limit %(most)s
) f
