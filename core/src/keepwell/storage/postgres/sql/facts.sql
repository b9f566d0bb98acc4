-- name: hold_space
-- Give whether a space is in use, and keep it from being taken out of use meanwhile.
select s.active from {schema}.space s where @wall(s) and s.key = %(space)s for key share

-- name: rejected
-- Give the time, which no change of these facts is later than, and those hashes that are rejected for the owner.
select clock_timestamp(), array(
    select r.hash from {schema}.rejection r
    where @reached(r) and r.hash = any(%(hashes)s) and (r.across_users or r.user_id = %(user_id)s)
        and r.agent_id in ('', %(agent_id)s) and r.run_id in ('', %(run_id)s)
)

-- name: standing
-- Give the newest versions of the owner's facts with these ids, and the standing ones with these keys or statements.
with wanted as (
    select f.key from unnest(%(ids)s::uuid[]) as w (id) cross join lateral (
        select f.key from {schema}.fact f where @exact(f) and f.id = w.id order by f.version desc limit 1
    ) f
    union
    select f.key from {schema}.fact f
    where @owner(f) and f.retired_at is null and f.fact_key <> '' and f.fact_key = any(%(keys)s)
    union
    select f.key from {schema}.fact f
    where @owner(f) and f.retired_at is null and f.fingerprint = any(%(fingerprints)s)
)
select @fact(f) from wanted w join {schema}.fact f on f.key = w.key where @exact(f)

-- name: hold_messages
-- Give those of these messages that are there, and keep them from being removed.
select m.key from {schema}.message m where @reached(m) and m.key = any(%(messages)s) order by m.key for key share

-- name: hold_versions
-- Give those of these versions of facts that are there, and keep them from being removed.
select f.id, f.version from unnest(%(facts)s::uuid[], %(versions)s::integer[]) as w (id, version)
join {schema}.fact f on f.id = w.id and f.version = w.version where @reached(f) order by f.key for key share of f

-- name: end_facts
-- Retire standing versions, whose postings, vectors and due work go, and give their number. What the other tables are
-- compared with is made in the first part: where a policy holds, no index serves a comparison with `-key`.
with ended as (
    update {schema}.fact f set retired_at = e.at
    from unnest(%(keys)s::bigint[], %(ends)s::timestamptz[]) as e (key, at)
    where @reached(f) and f.key = e.key and f.retired_at is null
    returning -f.key as message, f.id::text as item, f.user_id, f.agent_id, f.run_id, f.terms
), posted as materialized (
    select p.ctid from ended e cross join lateral string_to_table(e.terms, ' ') as w (term)
    cross join lateral (
        select p.ctid from {schema}.posting p
        where @wall(p) and p.user_id = e.user_id and p.term = w.term and p.message = e.message offset 0
    ) p
), posting as (
    delete from {schema}.posting p where @reached(p) and p.ctid = any(array(select d.ctid from posted d))
), vector as (
    delete from {schema}.vector v using ended e where @reached(v) and v.message = e.message
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, e.user_id, e.agent_id, e.run_id, e.message from ended e
), due as (
    delete from {schema}.due d using ended e cross join (values ('embed'), ('reform')) as k (kind)
    where @wall(d) and d.kind = k.kind and d.user_id = e.user_id and d.agent_id = e.agent_id and d.run_id = e.run_id
        and d.item = e.item
), owner as (
    update {schema}.owner o set facts = o.facts - g.facts, length = o.length - g.length
    from (
        select e.user_id, e.agent_id, e.run_id, count(*) as facts,
            coalesce(sum(cardinality(string_to_array(nullif(e.terms, ''), ' '))), 0) as length
        from ended e group by e.user_id, e.agent_id, e.run_id
    ) g
    where @wall(o) and o.user_id = g.user_id and o.agent_id = g.agent_id and o.run_id = g.run_id
)
select count(*) from ended

-- name: write_facts
-- Keep versions of an owner's facts with their sources; those that stand get postings, vectors (or due work) and count.
with made as materialized (
    select * from json_to_recordset(%(facts)s::json) as f (
        n bigint, id uuid, version integer, body text, fact_key text, kind text, actor text, labels text,
        fingerprint text, valid_from timestamptz, valid_to timestamptz, recorded_at timestamptz,
        retired_at timestamptz, expires_at timestamptz, reopened boolean, terms text, signals text
    )
), fact as (
    insert into {schema}.fact (tenant, user_id, agent_id, run_id, id, version, body, fact_key, kind, actor, labels,
        fingerprint, valid_from, valid_to, recorded_at, retired_at, expires_at, reopened, terms, signals)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, m.id, m.version, m.body::json, m.fact_key, m.kind,
        m.actor, m.labels::jsonb, decode(m.fingerprint, 'hex'), m.valid_from, m.valid_to, m.recorded_at,
        m.retired_at, m.expires_at, m.reopened, m.terms, m.signals
    from made m where @gate order by m.n
    returning key, id, version
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, -f.key from fact f
), standing as (
    select f.key, m.n, m.id, m.terms, m.reopened from fact f join made m using (id, version) where m.retired_at is null
), source as (
    insert into {schema}.source (tenant, user_id, agent_id, run_id, fact, version, message, span_start, span_end,
        source_fact, source_version)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, s.fact, s.version, s.message, s.span_start, s.span_end,
        s.source_fact, s.source_version
    from json_to_recordset(%(sources)s::json) as s (
        fact uuid, version integer, message bigint, span_start integer, span_end integer, source_fact uuid,
        source_version integer
    )
    where @gate and not exists (
        select 1 from {schema}.source o
        where @reached(o) and o.fact = s.fact and o.version = s.version and o.message is not distinct from s.message
            and o.span_start = s.span_start and o.span_end = s.span_end
            and o.source_fact is not distinct from s.source_fact and o.source_version = s.source_version
    )
    returning 1
), posting as (
    insert into {schema}.posting (tenant, user_id, term, message, agent_id, run_id, frequency)
    select %(tenant)s, %(user_id)s, p.term, -f.key, %(agent_id)s, %(run_id)s, least(count(*), 32767)
    from standing f cross join string_to_table(f.terms, ' ') as p (term) where p.term <> ''
    group by f.key, p.term
), vector as (
    insert into {schema}.vector (tenant, user_id, agent_id, run_id, space, message, chunk, embedding)
    select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, s.key, -f.key, v.chunk,
        (%(vectors)s::real[])[(v.i - 1) * s.dimension + 1 : v.i * s.dimension]::{vector}
    from unnest(%(embedded)s::bigint[], %(chunks)s::integer[]) with ordinality as v (n, chunk, i)
    join standing f on f.n = v.n
    join {schema}.space s on s.key = %(space)s
    where @wall(s)
), due as (
    insert into {schema}.due (tenant, kind, user_id, agent_id, run_id, item)
    select %(tenant)s, k.kind, %(user_id)s, %(agent_id)s, %(run_id)s, f.id::text
    from standing f cross join (values ('embed'), ('reform')) as k (kind)
    where case k.kind when 'embed' then f.terms <> '' and f.n <> all(%(embedded)s::bigint[]) else f.reopened end
    on conflict (tenant, kind, user_id, agent_id, run_id, item) do update set put_at = clock_timestamp()
), noted as (
    insert into {schema}.due (tenant, kind, user_id, agent_id, run_id, item)
    select %(tenant)s, 'index', u.user_id, '', '', ''
    from (
        select %(user_id)s::text as user_id, count(*) as made from standing f
        having bool_or(f.n = any(%(embedded)s::bigint[]) and mod(f.key, %(noted_every)s) = 0)
    ) u
    where @use(size_of) + u.made >= %(large)s
    on conflict (tenant, kind, user_id, agent_id, run_id, item) do update set put_at = clock_timestamp()
), owner as (
    update {schema}.owner o set
        facts = o.facts + g.facts, length = o.length + g.length, last_fact = greatest(o.last_fact, g.last)
    from (
        select count(*) as facts, max(f.key) as last,
            coalesce(sum(cardinality(string_to_array(nullif(f.terms, ''), ' '))), 0) as length
        from standing f
    ) g
    where @owner(o) and g.facts > 0
)
select (select count(*) from fact), (select count(*) from source)

-- name: write_changes
-- Keep changes in their order, each its owner's; those that are there already stay as they are. Give the number of new ones.
with change as (
    insert into {schema}.change (tenant, user_id, agent_id, run_id, id, kind, fact, before, after, reason, actor,
        batch, cause, sources, at)
    select %(tenant)s, c.user_id, c.agent_id, c.run_id, c.id, c.kind, c.fact, c.before, c.after, c.reason::json,
        c.actor, c.batch, c.cause, c.sources::json, c.at
    from json_to_recordset(%(changes)s::json) as c (
        n bigint, user_id text, agent_id text, run_id text, id uuid, kind text, fact uuid, before integer,
        after integer, reason text, actor text, batch uuid, cause uuid, sources text, at timestamptz
    )
    where @gate order by c.n
    on conflict (id, tenant) do nothing
    returning 1
)
select count(*) from change

-- name: lift_in_the_way
-- Lift the rejections of these hashes that hold for the owner.
delete from {schema}.rejection r
where @reached(r) and r.hash = any(%(hashes)s) and (r.across_users or r.user_id = %(user_id)s)
    and r.agent_id in ('', %(agent_id)s) and r.run_id in ('', %(run_id)s)

-- name: reject
-- Keep rejections of a view, each with the change that it came with.
insert into {schema}.rejection (tenant, user_id, agent_id, run_id, across_users, hash, change)
select %(tenant)s, %(user_id)s, %(agent_id)s, %(run_id)s, %(across)s, r.hash, r.change
from unnest(%(hashes)s::bytea[], %(changes)s::uuid[]) as r (hash, change)
where @gate
on conflict (hash, tenant, user_id, agent_id, run_id, across_users) do nothing

-- name: dependents
-- Give standing facts that name a version of these facts which does not stand, each with the fact that it names, and
-- whether anything that it rests on stands; their rows are held.
select @fact(f), n.origin, exists (
    select 1 from {schema}.source o
    where @reached(o) and o.fact = f.id and o.version = f.version and (
        exists (select 1 from {schema}.message m where @reached(m) and m.key = o.message)
        or exists (
            select 1 from {schema}.fact g
            where @reached(g) and g.id = o.source_fact and g.retired_at is null
        )
    )
)
from (
    select d.key, min(s.source_fact::text)::uuid as origin
    from unnest(%(facts)s::uuid[]) as w (id)
    cross join lateral (
        select s.fact, s.version, s.source_fact, s.source_version from {schema}.source s
        where @reached(s) and s.source_fact = w.id and s.fact <> w.id offset 0
    ) s
    cross join lateral (
        select d.key from {schema}.fact d
        where @reached(d) and d.id = s.fact and d.version = s.version and d.retired_at is null offset 0
    ) d
    where not exists (
        select 1 from {schema}.fact g
        where @reached(g) and g.id = s.source_fact and g.version = s.source_version and g.retired_at is null
    )
    group by d.key
) n
join {schema}.fact f on f.key = n.key
where @reached(f) order by f.key for update of f

-- name: reopen
-- Mark standing facts as resting on something that has changed; to form them anew is due. Their vectors are written anew
-- because a reader drops those of each row that it reads again.
with opened as (
    update {schema}.fact f set reopened = true
    where @reached(f) and f.key = any(%(keys)s) and f.retired_at is null
    returning -f.key as message, f.user_id, f.agent_id, f.run_id, f.id
), vector as (
    update {schema}.vector v set written_by = pg_current_xact_id()
    from opened o where @reached(v) and v.message = o.message
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, o.user_id, o.agent_id, o.run_id, o.message from opened o
)
insert into {schema}.due (tenant, kind, user_id, agent_id, run_id, item)
select %(tenant)s, 'reform', o.user_id, o.agent_id, o.run_id, o.id::text from opened o
on conflict (tenant, kind, user_id, agent_id, run_id, item) do update set put_at = clock_timestamp()

-- name: page_of_facts
-- What a list of facts is narrowed by, and the end of it.
(%(at)s::timestamptz is null or (f.recorded_at, f.key) < (%(at)s, %(key)s::bigint))
and case
    when %(as_of)s::timestamptz is not null
        then f.recorded_at <= %(as_of)s and (f.retired_at is null or f.retired_at > %(as_of)s)
    else %(versions)s::boolean or f.retired_at is null
end
and (%(valid_at)s::timestamptz is null
    or coalesce(f.valid_from <= %(valid_at)s, true) and coalesce(f.valid_to > %(valid_at)s, true))
and (%(fact_key)s::text is null or f.fact_key = %(fact_key)s)
and (%(kind)s::text is null or f.kind = %(kind)s)
and (%(subject)s::text is null or f.actor = %(subject)s)
and (%(where)s::jsonb is null or f.labels @> %(where)s)
order by f.recorded_at desc, f.key desc limit %(limit)s

-- name: list_facts
-- Give a page of the scope's facts, the latest recorded first.
select @fact(f) from {schema}.fact f
where @scope(f)
    and @use(page_of_facts)

-- name: list_facts_of
-- Do the same among facts of these ids, and facts that rest on this message or fact.
select @fact(f) from {schema}.fact f
where @within(f) and f.key = any(array(
        select f.key from unnest(%(ids)s::uuid[]) as w (id)
        cross join lateral (select f.key from {schema}.fact f where @reached(f) and f.id = w.id offset 0) f
        union
        select f.key from {schema}.source s
        join {schema}.fact f on f.id = s.fact and f.version = s.version
        where @reached(s) and @reached(f) and s.message = %(message)s::bigint
        union
        select f.key from {schema}.source s
        join {schema}.fact f on f.id = s.fact and f.version = s.version
        where @reached(s) and @reached(f) and s.source_fact = %(source_fact)s::uuid
            and %(source_version)s::integer in (0, s.source_version)
    ))
    and (%(ids)s::uuid[] is null or f.id = any(%(ids)s))
    and (not %(resting)s or exists (
        select 1 from {schema}.source s
        where @reached(s) and s.fact = f.id and s.version = f.version and (
            s.message = %(message)s or s.source_fact = %(source_fact)s and %(source_version)s in (0, s.source_version)
        )
    ))
    and @use(page_of_facts)

-- name: fetch_facts
-- Give versions of facts by key.
select @fact(f) from {schema}.fact f where @within(f) and f.key = any(%(keys)s)

-- name: facts_by_version
-- Give versions of facts by id and version.
select f.* from unnest(%(facts)s::uuid[], %(versions)s::integer[]) as w (id, version) cross join lateral (
    select @fact(f) from {schema}.fact f where @within(f) and f.id = w.id and f.version = w.version offset 0
) f

-- name: raw_sources
-- Give what versions of facts rest on; a version that rests on nothing comes once, without a source.
select f.id, f.version, s.message, s.span_start, s.span_end, s.source_fact, s.source_version
from {schema}.fact f left join lateral (
    select s.* from {schema}.source s where @reached(s) and s.fact = f.id and s.version = f.version offset 0
) s on true
where @within(f) and f.id = any(%(facts)s)
order by f.id, f.version, s.message, s.span_start, s.source_fact

-- name: quoted
-- Give messages by key with the thread that they are in.
select m.key, t.id, m.user_id, m.agent_id, m.run_id, m.seq, m.id, m.body, m.native, m.created_at
from {schema}.message m join {schema}.thread t on t.key = m.thread
where @within(m) and @within(t) and m.key = any(%(keys)s)

-- name: message_keys
-- Give the numbers of messages by thread and id.
select t.key, m.id, m.key from unnest(%(threads)s::uuid[], %(ids)s::text[]) as w (thread, id)
join {schema}.thread t on t.key = w.thread
join {schema}.message m on m.thread = t.key and m.id = w.id
where @within(t) and @within(m)

-- name: message_keys_anywhere
-- Give the numbers of messages by id, in every thread of the scope.
select t.key, m.id, m.key from {schema}.thread t
join {schema}.message m on m.thread = t.key and m.id = any(%(ids)s)
where @scope(t) and @within(m)

-- name: unembedded_facts
-- Give standing facts with words that lack a vector in a space, by id.
select f.key, f.body, f.version, f.user_id, f.agent_id, f.run_id, f.id::text from {schema}.fact f
where @reached(f) and f.id = any(%(ids)s::uuid[]) and f.retired_at is null and f.terms <> '' and not exists (
    select 1 from {schema}.vector v where @reached(v) and v.message = -f.key and v.space = %(space)s
)
