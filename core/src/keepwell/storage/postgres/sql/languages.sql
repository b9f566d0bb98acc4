-- name: read_language
-- Give the language by whose rules the tenant's terms are made.
select l.name from {schema}.language l where @wall(l)

-- name: note_language
-- Note a tenant's language, where it has none: that of English where it holds something already.
insert into {schema}.language (tenant, name)
select %(tenant)s, case when exists (
    select 1 from {schema}.thread t where @wall(t) and t.length > 0
) or exists (
    select 1 from {schema}.owner o where @wall(o) and o.facts > 0
) then 'english' else %(language)s end
where @gate
on conflict (tenant) do nothing

-- name: switch_language
-- Note another language for the tenant.
insert into {schema}.language as l (tenant, name) select %(tenant)s, %(language)s where @gate
on conflict (tenant) do update set name = excluded.name

-- name: old_terms
-- Give messages whose terms were made by the rules of another language, by key.
select m.key, m.body, m.written_by::text from {schema}.message m
where @wall(m) and m.key > %(after)s and m.terms <> ''
    and coalesce(substring(m.signals from ' @([a-z_]+)$'), 'english') <> %(language)s
order by m.key limit %(limit)s

-- name: old_fact_terms
-- Give versions of facts whose terms were made by the rules of another language, by key.
select f.key, f.body from {schema}.fact f
where @wall(f) and f.key > %(after)s and f.terms <> ''
    and coalesce(substring(f.signals from ' @([a-z_]+)$'), 'english') <> %(language)s
order by f.key limit %(limit)s

-- name: hold_threads_with
-- Hold the threads that these messages are in.
select t.key from {schema}.thread t
where @reached(t) and t.key = any(array(
    select m.thread from {schema}.message m where @reached(m) and m.key = any(%(keys)s)
))
order by t.key for update

-- name: put_terms
-- Give messages other terms, take their postings away, and have those who hold them read them and their vectors anew.
with item as materialized (
    select * from unnest(%(keys)s::bigint[], %(versions)s::text[], %(terms)s::text[], %(signals)s::text[])
        as i (key, version, terms, signals)
), old as materialized (
    select m.key, m.thread, m.user_id, m.terms as before, i.terms, i.signals
    from item i join {schema}.message m on m.key = i.key and (i.version = '' or m.written_by = i.version::xid8)
    where @reached(m)
), message as (
    update {schema}.message m set terms = o.terms, signals = o.signals, written_by = pg_current_xact_id()
    from old o where @reached(m) and m.key = o.key
), posting as (
    delete from {schema}.posting p using old o cross join string_to_table(o.before, ' ') as w (term)
    where @wall(p) and p.user_id = o.user_id and p.term = w.term and p.message = o.key
), vector as (
    update {schema}.vector v set written_by = pg_current_xact_id()
    from old o where @reached(v) and v.message = o.key
), thread as (
    update {schema}.thread t set length = t.length + g.length
    from (
        select o.thread, sum(
            coalesce(cardinality(string_to_array(nullif(o.terms, ''), ' ')), 0)
            - cardinality(string_to_array(o.before, ' '))
        ) as length
        from old o group by o.thread
    ) g
    where @reached(t) and t.key = g.thread
)
select count(*) from old

-- name: post_terms
-- Write the postings of messages where their threads have theirs.
insert into {schema}.posting (tenant, user_id, term, message, agent_id, run_id, frequency)
select %(tenant)s, m.user_id, p.term, m.key, m.agent_id, m.run_id, least(count(*), 32767)
from {schema}.message m
join {schema}.thread t on t.key = m.thread and m.seq <= t.posted_to
cross join string_to_table(m.terms, ' ') as p (term)
where @reached(m) and @reached(t) and m.key = any(%(keys)s) and p.term <> ''
group by m.key, m.user_id, m.agent_id, m.run_id, p.term
on conflict (tenant, user_id, term, message) do nothing

-- name: hold_owners_with
-- Hold the owners of these versions of facts.
select 1 from {schema}.owner o
where @wall(o) and (o.user_id, o.agent_id, o.run_id) in (
    select f.user_id, f.agent_id, f.run_id from {schema}.fact f where @reached(f) and f.key = any(%(keys)s)
)
order by o.user_id, o.agent_id, o.run_id for update

-- name: put_fact_terms
-- Give versions of facts other terms, take the postings of those that stand away, and have those who hold them read
-- them and their vectors anew.
with item as materialized (
    select * from unnest(%(keys)s::bigint[], %(terms)s::text[], %(signals)s::text[]) as i (key, terms, signals)
), old as materialized (
    select f.key, f.user_id, f.agent_id, f.run_id, f.retired_at, f.terms as before, i.terms, i.signals
    from item i join {schema}.fact f on f.key = i.key
    where @reached(f)
), fact as (
    update {schema}.fact f set terms = o.terms, signals = o.signals from old o where @reached(f) and f.key = o.key
), posting as (
    delete from {schema}.posting p using old o cross join string_to_table(o.before, ' ') as w (term)
    where @wall(p) and p.user_id = o.user_id and p.term = w.term and p.message = -o.key
), vector as (
    update {schema}.vector v set written_by = pg_current_xact_id()
    from old o where @reached(v) and v.message = -o.key
), removal as (
    insert into {schema}.removal (tenant, user_id, agent_id, run_id, message)
    select %(tenant)s, o.user_id, o.agent_id, o.run_id, -o.key from old o
), owner as (
    update {schema}.owner w set length = w.length + g.length
    from (
        select o.user_id, o.agent_id, o.run_id, sum(
            coalesce(cardinality(string_to_array(nullif(o.terms, ''), ' ')), 0)
            - cardinality(string_to_array(o.before, ' '))
        ) as length
        from old o where o.retired_at is null group by o.user_id, o.agent_id, o.run_id
    ) g
    where @wall(w) and w.user_id = g.user_id and w.agent_id = g.agent_id and w.run_id = g.run_id
)
select count(*) from old

-- name: post_fact_terms
-- Write the postings of versions of facts that stand.
insert into {schema}.posting (tenant, user_id, term, message, agent_id, run_id, frequency)
select %(tenant)s, f.user_id, p.term, -f.key, f.agent_id, f.run_id, least(count(*), 32767)
from {schema}.fact f cross join string_to_table(f.terms, ' ') as p (term)
where @reached(f) and f.key = any(%(keys)s) and f.retired_at is null and p.term <> ''
group by f.key, f.user_id, f.agent_id, f.run_id, p.term
on conflict (tenant, user_id, term, message) do nothing
