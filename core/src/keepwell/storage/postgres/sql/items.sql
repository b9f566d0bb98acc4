-- name: put_items
-- Let items stand, be others or be gone, and give what each came to. In one statement, so that an item is put in one
-- round trip; what stood is looked up before the owners' rows are locked, so where somebody else was quicker what was to
-- end here has ended already: then two rows of one name are written, which the server refuses, and the whole is done
-- once more under the lock (`alone`: also where facts rest on what ends, which takes more statements).
-- An item is looked up by its path and by the mark of it, so that before the first ANALYZE, too, whichever index is taken
-- finds it alone, and not all that its owner has (measured, beside 25,000: 14 ms an item instead of 0.3).
with given as materialized (
    select g.*, coalesce(cardinality(string_to_array(nullif(g.terms, ''), ' ')), 0) as length
    from json_to_recordset(%(items)s::json) as g (
        n bigint, user_id text, agent_id text, run_id text, id uuid, change uuid, path text, body text, labels text,
        fingerprint text, terms text, signals text, ttl float8, expires_at timestamptz, began_at timestamptz,
        touched_at timestamptz
    )
), used as materialized (
    select s.key, s.dimension from {schema}.space s where @wall(s) and s.key = %(space)s and s.active for key share
), seen as materialized (
    select g.n, f.key, f.ctid as place, f.id as fact, f.version, f.recorded_at, coalesce(f.began_at, f.recorded_at) as began_at,
        coalesce(cardinality(string_to_array(nullif(f.terms, ''), ' ')), 0) as length,
        f.body::text = g.body as same, coalesce(f.expires_at <= clock_timestamp(), false) as over
    from given g cross join lateral (
        select f.ctid, f.* from {schema}.fact f
        where @wall(f) and f.user_id = g.user_id and f.agent_id = g.agent_id and f.run_id = g.run_id
            and f.fact_key = g.path and f.fact_key <> '' and f.retired_at is null
            and f.fingerprint = decode(g.fingerprint, 'hex') offset 0
    ) f
), step as materialized (
    select g.*, s.key, s.place, s.fact, coalesce(s.version, 0) as version, s.began_at as began, s.over, s.length as old_length,
        case
            when s.key is null then case when g.body is null then 'NONE' else 'ADD' end
            when g.body is null then 'DELETE'
            when s.same and not s.over then 'NONE'
            else 'UPDATE'
        end as kind
    from given g left join seen s on s.n = g.n
), turn as materialized (
    select pg_advisory_xact_lock(hashtextextended(
        %(tenant)s || E'\x1f' || o.user_id || E'\x1f' || o.agent_id || E'\x1f' || o.run_id, 20)) is not null
    from (
        select distinct s.user_id, s.agent_id, s.run_id from step s where s.kind <> 'NONE' order by 1, 2, 3
    ) o
), owner as (
    insert into {schema}.owner as o (tenant, user_id, agent_id, run_id, facts, length)
    select %(tenant)s, s.user_id, s.agent_id, s.run_id,
        sum(case s.kind when 'ADD' then 1 when 'DELETE' then -1 else 0 end),
        sum(coalesce(s.length, 0) - coalesce(s.old_length, 0))
    from step s
    where @gate and s.kind <> 'NONE' and (select count(*) from used) >= 0 and (select count(*) from turn) >= 0
    group by s.user_id, s.agent_id, s.run_id order by s.user_id, s.agent_id, s.run_id
    on conflict (tenant, user_id, agent_id, run_id) do update set
        facts = o.facts + excluded.facts, length = o.length + excluded.length
    returning 1
), instant as materialized (
    select greatest(clock_timestamp(), (select max(s.recorded_at) + interval '1 microsecond' from seen s)) as at
    where (select count(*) from owner) >= 0
), retired as (
    -- By where they lie: before the first ANALYZE a key is thought dearer than all that stands of the tenant.
    update {schema}.fact f set retired_at = (select i.at from instant i)
    where exists (select from step s where s.kind in ('UPDATE', 'DELETE')) and @reached(f) and f.retired_at is null
        and f.ctid = any(array(select s.place from step s where s.kind in ('UPDATE', 'DELETE')))
    returning f.key, f.id::text as item, f.user_id, f.agent_id, f.run_id, f.terms
), ended as materialized (
    select s.n, -r.key as message, r.item, r.user_id, r.agent_id, r.run_id, r.terms
    from retired r join step s on s.key = r.key
), lost as materialized (
    select s.id from step s
    where s.kind in ('UPDATE', 'DELETE') and (
        not exists (select 1 from ended e where e.n = s.n)
        or %(alone)s::boolean and exists (
            select 1 from {schema}.source o where @reached(o) and o.source_fact = s.fact and o.source_fact is not null
        )
    )
), fact as (
    insert into {schema}.fact (tenant, user_id, agent_id, run_id, id, version, body, fact_key, kind, actor, labels,
        fingerprint, recorded_at, retired_at, expires_at, terms, signals, began_at, touched_at, ttl)
    select %(tenant)s, s.user_id, s.agent_id, s.run_id, coalesce(s.fact, s.id), s.version + 1, s.body::json, s.path,
        'item', '', s.labels::jsonb, decode(s.fingerprint, 'hex'), i.at, null::timestamptz,
        coalesce(s.expires_at, i.at + make_interval(secs => s.ttl * 60)), s.terms, s.signals,
        coalesce(s.began_at, case when s.over then null else s.began end, i.at), coalesce(s.touched_at, i.at), s.ttl
    from step s cross join instant i
    where s.kind in ('ADD', 'UPDATE') and (select count(*) from ended) >= 0 -- what stood has to end first
    union all
    select %(tenant)s, '', '', '', l.id, -1, 'null', '', '', '', null, '', i.at, i.at, null, '', '', null, null, null
    from lost l cross join instant i cross join generate_series(1, 2)
    returning key, id, version
), made as materialized (
    select -f.key as message, s.n, f.id::text as item, s.user_id, s.agent_id, s.run_id, s.terms,
        s.n = any(%(embedded)s::bigint[]) and exists (select 1 from used) as embedded
    from fact f join step s on f.id = coalesce(s.fact, s.id) and f.version = s.version + 1
    where s.kind in ('ADD', 'UPDATE')
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, e.user_id, e.agent_id, e.run_id, e.message from ended e
    union all
    select %(tenant)s, m.user_id, m.agent_id, m.run_id, m.message from made m
), posted as materialized (
    select p.ctid from ended e cross join lateral string_to_table(e.terms, ' ') as w (term)
    cross join lateral (
        select p.ctid from {schema}.posting p
        where @wall(p) and p.user_id = e.user_id and p.term = w.term and p.message = e.message offset 0
    ) p
), unposted as (
    delete from {schema}.posting p where @reached(p) and p.ctid = any(array(select d.ctid from posted d))
), posting as (
    insert into {schema}.posting (tenant, user_id, term, message, agent_id, run_id, frequency)
    select %(tenant)s, m.user_id, p.term, m.message, m.agent_id, m.run_id, least(count(*), 32767)
    from made m cross join string_to_table(m.terms, ' ') as p (term) where p.term <> ''
    group by m.user_id, m.message, m.agent_id, m.run_id, p.term
), unembedded as (
    delete from {schema}.vector v using ended e where @reached(v) and v.message = e.message
), vector as (
    insert into {schema}.vector (tenant, user_id, agent_id, run_id, space, message, chunk, embedding)
    select %(tenant)s, m.user_id, m.agent_id, m.run_id, s.key, m.message, v.chunk,
        (%(vectors)s::real[])[(v.i - 1) * s.dimension + 1 : v.i * s.dimension]::{vector}
    from unnest(%(embedded)s::bigint[], %(chunks)s::integer[]) with ordinality as v (n, chunk, i)
    join made m on m.n = v.n cross join used s
), undue as (
    delete from {schema}.due d using ended e cross join (values ('embed'), ('reform')) as k (kind)
    where @wall(d) and d.kind = k.kind and d.user_id = e.user_id and d.agent_id = e.agent_id and d.run_id = e.run_id
        and d.item = e.item and not exists (
            select 1 from made m where m.n = e.n and not m.embedded and m.terms <> '' and k.kind = 'embed'
        )
), due as (
    insert into {schema}.due (tenant, kind, user_id, agent_id, run_id, item)
    select %(tenant)s, 'embed', m.user_id, m.agent_id, m.run_id, m.item from made m
    where m.terms <> '' and not m.embedded
    on conflict (tenant, kind, user_id, agent_id, run_id, item) do update set put_at = clock_timestamp()
), noted as (
    insert into {schema}.due (tenant, kind, user_id, agent_id, run_id, item)
    select %(tenant)s, 'index', u.user_id, '', '', ''
    from (
        select m.user_id, count(*) as made from made m group by m.user_id
        having bool_or(m.embedded and mod(m.message, %(noted_every)s) = 0)
    ) u
    where @use(size_of) + u.made >= %(large)s
    order by u.user_id
    on conflict (tenant, kind, user_id, agent_id, run_id, item) do update set put_at = clock_timestamp()
), change as (
    insert into {schema}.change (tenant, user_id, agent_id, run_id, id, kind, fact, before, after, reason, actor,
        batch, sources, at)
    select %(tenant)s, s.user_id, s.agent_id, s.run_id, s.change, s.kind, coalesce(s.fact, s.id),
        nullif(s.version, 0), case when s.kind = 'DELETE' then null else s.version + 1 end, '""', %(actor)s,
        %(batch)s, '[]', i.at
    from step s cross join instant i where s.kind <> 'NONE' order by s.n
), touched as (
    update {schema}.fact f set touched_at = coalesce(s.touched_at, clock_timestamp()), ttl = s.ttl,
        expires_at = coalesce(s.expires_at, clock_timestamp() + make_interval(secs => s.ttl * 60))
    from step s
    where exists (select from step t where t.kind = 'NONE')
        and @reached(f) and f.key = s.key and s.kind = 'NONE' and f.retired_at is null
        and f.ctid = any(array(select t.place from step t where t.kind = 'NONE'))
)
select s.n, s.kind, s.fact, s.version from step s order by s.n

-- name: item_of
-- What makes a fact an item that is there.
f.fact_key <> '' and f.retired_at is null and f.kind = 'item'
and (f.expires_at is null or f.expires_at > clock_timestamp())

-- name: items_below
-- What makes it one whose path lies in a stretch, and that fits a filter.
@use(item_of) and f.fact_key >= %(least)s and f.fact_key < %(most)s
and (%(where)s::jsonpath is null or jsonb_path_match_tz(
    coalesce(f.labels, '{{}}'), %(where)s::jsonpath, %(operands)s::jsonb, true))

-- name: read_item
-- Give the item at a path.
select @item(f) from {schema}.fact f
where @owner(f) and f.fact_key = %(path)s and f.fingerprint = %(mark)s and @use(item_of)

-- name: read_items
-- Give the items at paths, each with its place among them.
select w.n, f.* from unnest(
    %(users)s::text[], %(agents)s::text[], %(runs)s::text[], %(paths)s::text[], %(marks)s::bytea[]
) with ordinality as w (user_id, agent_id, run_id, path, mark, n)
cross join lateral (
    select @item(f) from {schema}.fact f
    where @wall(f) and f.user_id = w.user_id and f.agent_id = w.agent_id and f.run_id = w.run_id
        and f.fact_key = w.path and f.fingerprint = w.mark and @use(item_of) offset 0
) f

-- name: newest_items
-- Give an owner's items in a stretch, the one that was put last first.
select @item(f) from {schema}.fact f where @owner(f) and @use(items_below)
order by coalesce(f.touched_at, f.recorded_at) desc, f.key desc limit %(limit)s offset %(offset)s

-- name: newest_items_of_all
-- Give the tenant's items in a stretch, the one that was put last first.
select @item(f) from {schema}.fact f where @wall(f) and @use(items_below)
order by coalesce(f.touched_at, f.recorded_at) desc, f.key desc limit %(limit)s offset %(offset)s

-- name: best_items
-- Give an owner's items in a stretch that have a text, best first, each with its score; or nothing, where they are so
-- many that the index is to be asked.
with many as materialized (@use(too_many_items)), found as materialized (
    select f.key, -f.key as message, ' ' || f.terms || ' ' as words, coalesce(f.touched_at, f.recorded_at) as at
    from {schema}.fact f where not (select m.so from many m) and @owner(f) and @use(items_below) and f.terms <> ''
), @use(scored_items)

-- name: best_items_of_all
-- Give the tenant's items in a stretch that have a text, best first, each with its score.
with found as materialized (
    select f.key, -f.key as message, ' ' || f.terms || ' ' as words, coalesce(f.touched_at, f.recorded_at) as at
    from {schema}.fact f where @wall(f) and @use(items_below) and f.terms <> ''
), @use(scored_items)

-- name: too_many_items
-- Whether an owner's items in a stretch are so many that a walk over the index costs less than to compare each: they
-- are counted only where the index holds enough of the owner's vectors, and no further than that. See nearest.py.
select coalesce((
    select count(*) >= max(w.least)
    from {schema}.centre c cross join lateral (
        select greatest(%(large)s, ceil(sqrt(%(share)s * greatest(i.reltuples, 0))))::bigint as least
        from pg_class i
        where i.oid = to_regclass('{schema}.nearest_' || %(dimension)s::text) and (
            select string_to_array(e.extversion, '.')::integer[] >= '{{0,8}}'
            from pg_extension e where e.extname = 'vector'
        )
        offset 0
    ) w cross join lateral (
        -- Whether they have a text, and are past their time, is not asked: so no row is read, only the index.
        select from {schema}.fact f
        where @owner(f) and f.retired_at is null and f.fact_key <> ''
            and f.fact_key >= %(least)s and f.fact_key < %(most)s
        limit w.least
    ) f
    where %(first)s and @owner(c) and c.space = %(space)s and c.vectors >= %(large)s
), false) as so

-- name: scored_items
-- How well what was found fits terms (each between blanks) and a vector: all of it is compared, and only the rows of a
-- page are read. Shares are added up by item: a join of lists whose length nobody knows is one of all pairs.
total as materialized (
    select count(*)::float8 as items from found
), term as materialized (
    select ln(1 + (t.items - cardinality(d.keys) + 0.5) / (cardinality(d.keys) + 0.5)) as weight, d.keys
    from unnest(%(terms)s::text[]) as w (term) cross join total t cross join lateral (
        select array(select f.key from found f where strpos(f.words, w.term) > 0) as keys offset 0
    ) d
), best as materialized (
    select u.key, max(u.at) as at, sum(u.share) as score
    from (
        select f.key, f.at, %(nearness)s::float8 * greatest(coalesce(v.nearness, 0), 0) as share
        from found f left join lateral (
            select max(-(v.embedding operator({extensions}.<#>) (select (%(vector)s::real[])::{vector}))) as nearness
            from {schema}.vector v
            where @reached(v) and v.message = f.message and v.space = %(space)s and %(nearness)s::float8 > 0
        ) v on true
        union all
        select k.key, null, (1 - %(nearness)s::float8) * t.weight / (select sum(t.weight) from term t)
        from term t cross join unnest(t.keys) as k (key)
    ) u
    group by u.key order by score desc, at desc, u.key desc limit %(limit)s offset %(offset)s
)
select @item(f), b.score from best b join {schema}.fact f on f.key = b.key where @reached(f)
order by b.score desc, b.at desc, b.key desc

-- name: nearest_items
-- Give the best of an owner's many items in a stretch, or nothing where the page lies beyond them: of those whose vectors
-- the index finds near, those whose vectors are not in it yet, and those that have most of the terms, each compared as if
-- all were; and the score that no other can have. How rare a term is, is told by all that is known of the owner. It is
-- written for 256 numbers: see nearest.py, also for the gate and what is hidden.
with more as materialized (
    select count(*) > %(offset)s as there
    from (
        select from {schema}.fact f where @owner(f) and @use(items_below) and f.terms <> '' limit %(offset)s + 1
    ) f
), walked as materialized (
    select k.key, -(n.embedding operator({extensions}.<#>) %(vector)s::{vector}) as nearness
    from {schema}.nearest n cross join lateral (@use(item_near)) k
    where (
            select set_config('hnsw.iterative_scan', 'relaxed_order', true) is not null
                and set_config('hnsw.ef_search', %(breadth)s::text, true) is not null
                and set_config('hnsw.max_scan_tuples', %(scanned)s::text, true) is not null
        )
        and (select m.there from more m) and @met(n) and coalesce(n.space = %(space)s, false)
        and n.message < 0 and n.dimension = 256
    order by n.embedding::{vector}(256) operator({extensions}.<#>) %(vector)s::{vector}(256)
    limit %(width)s
), waiting as materialized (
    select k.key, -(n.embedding operator({extensions}.<#>) %(vector)s::{vector}) as nearness
    from (
        select v.message, v.embedding from {schema}.vector v
        where (select m.there from more m) and @owner(v) and v.space = %(space)s and not v.indexed and v.message < 0
        offset 0
    ) n cross join lateral (@use(item_near)) k
    order by nearness desc limit %(width)s
), term as materialized (
    select w.term, ln(1 + (greatest(o.facts, d.items) - d.items + 0.5) / (d.items + 0.5)) as weight
    from (select w.term from more m cross join unnest(%(terms)s::text[]) as w (term) where m.there) w
    cross join (select coalesce((select o.facts from {schema}.owner o where @owner(o)), 0)::float8 as facts) o
    cross join lateral (
        select count(*)::float8 as items from {schema}.posting p where @owner(p) and p.term = w.term and p.message < 0
    ) d
), spoken as materialized (
    select k.key, n.share
    from (
        select p.message, sum(t.weight) / (select sum(t.weight) from term t) as share
        from term t cross join lateral (
            select p.message from {schema}.posting p where @owner(p) and p.term = t.term and p.message < 0 offset 0
        ) p
        group by p.message order by share desc, p.message offset 0
    ) n cross join lateral (@use(item_near)) k
    order by n.share desc, n.message limit %(width)s
), floor as materialized (
    select %(nearness)s::float8 * greatest(w.score, n.score) + (1 - %(nearness)s::float8) * s.score as score
    from (select case when count(*) < %(width)s then 1 else greatest(min(nearness), 0) end as score from walked) w,
        (select case when count(*) < %(width)s then 0 else min(nearness) end as score from waiting) n,
        (select case when count(*) < %(width)s then 0 else min(share) end as score from spoken) s
), best as materialized (
    select c.key, f.at,
        %(nearness)s::float8 * greatest(coalesce(v.nearness, 0), 0)
            + (1 - %(nearness)s::float8) * coalesce(f.weight / (select nullif(sum(t.weight), 0) from term t), 0) as score
    from (select key from walked union select key from waiting union select key from spoken) c
    cross join lateral (
        select coalesce(f.touched_at, f.recorded_at) as at, (
            select sum(t.weight) from term t where strpos(' ' || f.terms || ' ', ' ' || t.term || ' ') > 0
        ) as weight
        from {schema}.fact f where @reached(f) and f.key = c.key offset 0
    ) f
    left join lateral (
        select max(-(v.embedding operator({extensions}.<#>) %(vector)s::{vector})) as nearness
        from {schema}.vector v where @reached(v) and v.message = -c.key and v.space = %(space)s
    ) v on true
    order by score desc, f.at desc, c.key desc limit %(limit)s offset %(offset)s
)
select @item(f), b.score, (select l.score from floor l)
from best b join {schema}.fact f on f.key = b.key where @reached(f)
order by b.score desc, b.at desc, b.key desc

-- name: item_near
-- The item that vector or posting `n` is of, where it lies in the stretch.
select f.key from {schema}.fact f where @exact(f) and f.key = -n.message and @use(items_below) and f.terms <> '' offset 0

-- name: namespaces
-- Give an owner's namespaces in a stretch: one step through the index for each, not one for each item.
with recursive space (name) as (
    (select split_part(f.fact_key, '/:', 1) from {schema}.fact f
    where @owner(f) and @use(item_of) and f.fact_key >= %(least)s and f.fact_key < %(most)s
    order by f.fact_key limit 1)
    union all
    select (
        select split_part(f.fact_key, '/:', 1) from {schema}.fact f
        where @owner(f) and @use(item_of) and f.fact_key >= s.name || '/;' and f.fact_key < %(most)s
        order by f.fact_key limit 1
    ) from space s where s.name is not null
)
select s.name from space s where s.name is not null

-- name: namespaces_of_all
-- Give the tenant's namespaces in a stretch, as for one owner.
with recursive space (name) as (
    (select split_part(f.fact_key, '/:', 1) from {schema}.fact f
    where @wall(f) and @use(item_of) and f.fact_key >= %(least)s and f.fact_key < %(most)s
    order by f.fact_key limit 1)
    union all
    select (
        select split_part(f.fact_key, '/:', 1) from {schema}.fact f
        where @wall(f) and @use(item_of) and f.fact_key >= s.name || '/;' and f.fact_key < %(most)s
        order by f.fact_key limit 1
    ) from space s where s.name is not null
)
select s.name from space s where s.name is not null

-- name: keep_items
-- Let items live on for as long as they live, from now.
with kept as (
    update {schema}.fact f set expires_at = clock_timestamp() + make_interval(secs => f.ttl * 60)
    where @reached(f) and f.key = any(%(keys)s) and f.ttl is not null and @use(item_of)
    returning 1
)
select count(*) from kept
