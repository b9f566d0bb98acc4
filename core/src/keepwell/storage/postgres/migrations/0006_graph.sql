-- The graph: entities, their names and mentions, relations, its history, and the outbox of a projection.

alter table {schema}.thread add column graph_to bigint not null default 0;
alter table {schema}.message add column graph_again boolean not null default false;
alter table {schema}.owner add column graph_to bigint not null default 0, add column last_fact bigint not null default 0;
create index message_unseen on {schema}.message (tenant, thread, seq) where graph_again;

-- Who and what is spoken of. What was merged stays, and says whom it is taken to be: never one that is merged itself.
create table {schema}.entity (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id uuid not null,
    version integer not null,
    name text not null, -- as it is shown
    folded text collate "C" not null, -- the name as names are compared
    type text collate "C" not null,
    metadata json not null,
    merged_into uuid,
    retired_at timestamptz, -- it was taken away
    first_seen timestamptz, -- of its own mentions
    last_seen timestamptz,
    primary key (id, tenant)
) with (fillfactor = 80);
create index entity_owner on {schema}.entity (user_id, tenant, last_seen, id);
create index entity_merged on {schema}.entity (merged_into) where merged_into is not null;

-- The names of each: its own, those that a person gave it, and the words of its mentions; a row for each as compared.
create table {schema}.name (
    key bigint generated always as identity primary key,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    entity uuid not null,
    folded text collate "C" not null,
    shown text not null,
    given boolean not null,
    grams text not null, -- its runs of three characters, by lines
    size smallint not null, -- how many those are
    unique (entity, folded, tenant)
);
create index name_folded on {schema}.name (user_id, tenant, folded);

-- Which name has which run of three characters: a table with a btree, as postings are.
create table {schema}.name_gram (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    gram text collate "C" not null,
    name bigint not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    primary key (user_id, tenant, gram, name) include (agent_id, run_id)
);
create index name_gram_name on {schema}.name_gram (name);

-- Where an entity is named: in a message, or in a version of a fact.
create table {schema}.mention (
    number bigint generated always as identity primary key,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    entity uuid not null, -- its own, whatever that is taken to be
    message bigint,
    fact uuid,
    fact_version integer not null,
    span_start integer not null,
    span_end integer not null,
    surface text not null,
    folded text collate "C" not null,
    at timestamptz not null -- when it was said
);
create index mention_entity on {schema}.mention (entity, number);
create index mention_message on {schema}.mention (message) where message is not null;
create index mention_fact on {schema}.mention (fact) where fact is not null;

-- How entities stand to each other: one row a version, at most one of which stands.
create table {schema}.relation (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id uuid not null, -- the same through all versions
    version integer not null,
    subject uuid not null,
    predicate text not null,
    object uuid not null,
    valid_from timestamptz, -- when it is true
    valid_to timestamptz,
    recorded_at timestamptz not null, -- when it was held
    retired_at timestamptz, -- null: it stands
    given boolean not null, -- by a person: it stands without a ground
    primary key (id, version, tenant)
);
create index relation_subject on {schema}.relation (subject, recorded_at);
create index relation_object on {schema}.relation (object, recorded_at);
create index relation_owner on {schema}.relation (user_id, tenant, recorded_at, id);

-- What a version of a relation rests on, and what changes of the graph do (version 0).
create table {schema}.ground (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    item uuid not null, -- a relation or a change
    version integer not null,
    message bigint,
    span_start integer not null,
    span_end integer not null,
    fact uuid,
    fact_version integer not null
);
create index ground_item on {schema}.ground (item, version);
create index ground_message on {schema}.ground (message) where message is not null;
create index ground_fact on {schema}.ground (fact) where fact is not null;

-- The graph's history: one row a change, never updated.
create table {schema}.graph_change (
    number bigint generated always as identity primary key, -- the order of an owner's changes
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id uuid not null,
    kind text collate "C" not null, -- ADD, UPDATE, DELETE, RESTORE, MERGE, SPLIT
    relation uuid, -- null: it is a change of the entity `one`
    one uuid not null, -- the entity, or the relation's subject
    two uuid, -- whom it was merged into or split from, or the relation's object
    before integer, -- versions of the relation
    after integer,
    entity_before json, -- what the entity was
    entity_after json,
    moved json not null, -- mentions that became another's
    told text not null, -- the names that it tells, as compared, by lines: it goes with them
    reason json not null,
    actor text collate "C" not null,
    batch uuid not null,
    cause uuid,
    at timestamptz not null,
    unique (id, tenant)
);
create index graph_change_owner on {schema}.graph_change (user_id, tenant, at, number);
create index graph_change_one on {schema}.graph_change (one, number);
create index graph_change_two on {schema}.graph_change (two, number) where two is not null;
create index graph_change_relation on {schema}.graph_change (relation, number) where relation is not null;
create index graph_change_batch on {schema}.graph_change (batch, number);

-- Tenants whose graph is projected elsewhere, and what changed of it: never to what.
create table {schema}.projection (
    tenant text collate "C" primary key,
    target text not null,
    identity uuid not null default gen_random_uuid(),
    since timestamptz not null default clock_timestamp()
);
create table {schema}.outbox (
    number bigint generated always as identity,
    tenant text collate "C" not null,
    kind text collate "C" not null,
    id text collate "C" not null,
    at timestamptz not null default clock_timestamp(),
    written_by xid8 not null default pg_current_xact_id(),
    primary key (tenant, written_by, number)
);

-- No statistics of the tenant, as for postings: the policy's own comparison would make a new tenant look like one row.
alter table {schema}.entity alter column tenant set statistics 0;
alter table {schema}.name alter column tenant set statistics 0;
alter table {schema}.name_gram alter column tenant set statistics 0;
alter table {schema}.mention alter column tenant set statistics 0;
alter table {schema}.relation alter column tenant set statistics 0;
alter table {schema}.ground alter column tenant set statistics 0;
alter table {schema}.graph_change alter column tenant set statistics 0;

alter table {schema}.entity enable row level security, force row level security;
alter table {schema}.name enable row level security, force row level security;
alter table {schema}.name_gram enable row level security, force row level security;
alter table {schema}.mention enable row level security, force row level security;
alter table {schema}.relation enable row level security, force row level security;
alter table {schema}.ground enable row level security, force row level security;
alter table {schema}.graph_change enable row level security, force row level security;
alter table {schema}.projection enable row level security, force row level security;
alter table {schema}.outbox enable row level security, force row level security;
create policy tenant on {schema}.entity
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.name
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.name_gram
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.mention
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.relation
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.ground
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.graph_change
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.projection
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.outbox
    using (tenant = current_setting('keepwell.tenant', true));

-- What is noted for a projection, in the transaction that changes it; a tenant without one pays for one look.
create function {schema}.is_projected() returns boolean language sql stable as $$
    select exists (
        select 1 from {schema}.projection p where p.tenant = current_setting('keepwell.tenant', true)
    )
$$;
create function {schema}.note_entities() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id) select c.tenant, 'entity', c.id::text from changed c;
    end if;
    return null;
end
$$;
-- What an entity is taken to be is said by its relations and mentions, too.
create function {schema}.note_changed_entities() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id)
        select c.tenant, 'entity', c.id::text from changed c
        union
        select c.tenant, 'entity', k.id::text -- the names of what is taken to be it are names of it
        from changed c join earlier e on e.id = c.id and e.tenant = c.tenant
        cross join lateral (values (c.merged_into), (e.merged_into)) k (id)
        where k.id is not null and e.merged_into is distinct from c.merged_into
        union
        select c.tenant, k.kind, k.id
        from changed c join earlier e on e.id = c.id and e.tenant = c.tenant
        cross join lateral (
            select 'relation' as kind, r.id::text as id from {schema}.relation r where r.subject = c.id
            union all
            select 'relation', r.id::text from {schema}.relation r where r.object = c.id
            union all
            select 'mention', m.number::text from {schema}.mention m where m.entity = c.id
            union all
            select k.kind, k.id from {schema}.entity f cross join lateral (
                select 'relation' as kind, r.id::text as id from {schema}.relation r where f.id in (r.subject, r.object)
                union all
                select 'mention', m.number::text from {schema}.mention m where m.entity = f.id
            ) k where f.merged_into = c.id
        ) k
        where e.merged_into is distinct from c.merged_into or e.retired_at is distinct from c.retired_at;
    end if;
    return null;
end
$$;
create function {schema}.note_names() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id)
        select distinct c.tenant, 'entity', coalesce(e.merged_into, e.id)::text
        from changed c join {schema}.entity e on e.id = c.entity;
    end if;
    return null;
end
$$;
create function {schema}.note_relations() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id) select distinct c.tenant, 'relation', c.id::text from changed c;
    end if;
    return null;
end
$$;
create function {schema}.note_grounds() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id)
        select distinct c.tenant, 'relation', c.item::text from changed c where c.version > 0;
    end if;
    return null;
end
$$;
create function {schema}.note_mentions() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id)
        select c.tenant, 'mention', c.number::text from changed c
        union
        select c.tenant, 'message', c.message::text from changed c where c.message is not null;
    end if;
    return null;
end
$$;
create function {schema}.note_facts() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id) select distinct c.tenant, 'fact', c.id::text from changed c;
    end if;
    return null;
end
$$;
create function {schema}.note_sources() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id)
        select c.tenant, 'fact', c.fact::text from changed c where c.version > 0
        union
        select c.tenant, 'message', c.message::text from changed c where c.version > 0 and c.message is not null;
    end if;
    return null;
end
$$;
-- A message is projected where something rests on it, and what does changes with it; a new one has nothing yet.
create function {schema}.note_messages() returns trigger language plpgsql as $$
begin
    if {schema}.is_projected() then
        insert into {schema}.outbox (tenant, kind, id) select c.tenant, 'message', c.key::text from changed c;
    end if;
    return null;
end
$$;
create trigger projected_insert after insert on {schema}.entity referencing new table as changed
    for each statement execute function {schema}.note_entities();
create trigger projected_delete after delete on {schema}.entity referencing old table as changed
    for each statement execute function {schema}.note_entities();
create trigger projected_insert after insert on {schema}.name referencing new table as changed
    for each statement execute function {schema}.note_names();
create trigger projected_update after update on {schema}.name referencing new table as changed
    for each statement execute function {schema}.note_names();
create trigger projected_delete after delete on {schema}.name referencing old table as changed
    for each statement execute function {schema}.note_names();
create trigger projected_insert after insert on {schema}.relation referencing new table as changed
    for each statement execute function {schema}.note_relations();
create trigger projected_update after update on {schema}.relation referencing new table as changed
    for each statement execute function {schema}.note_relations();
create trigger projected_delete after delete on {schema}.relation referencing old table as changed
    for each statement execute function {schema}.note_relations();
create trigger projected_insert after insert on {schema}.ground referencing new table as changed
    for each statement execute function {schema}.note_grounds();
create trigger projected_delete after delete on {schema}.ground referencing old table as changed
    for each statement execute function {schema}.note_grounds();
create trigger projected_insert after insert on {schema}.mention referencing new table as changed
    for each statement execute function {schema}.note_mentions();
create trigger projected_update after update on {schema}.mention referencing new table as changed
    for each statement execute function {schema}.note_mentions();
create trigger projected_delete after delete on {schema}.mention referencing old table as changed
    for each statement execute function {schema}.note_mentions();
create trigger projected_insert after insert on {schema}.fact referencing new table as changed
    for each statement execute function {schema}.note_facts();
create trigger projected_update after update on {schema}.fact referencing new table as changed
    for each statement execute function {schema}.note_facts();
create trigger projected_delete after delete on {schema}.fact referencing old table as changed
    for each statement execute function {schema}.note_facts();
create trigger projected_insert after insert on {schema}.source referencing new table as changed
    for each statement execute function {schema}.note_sources();
create trigger projected_update after update on {schema}.source referencing new table as changed
    for each statement execute function {schema}.note_sources();
create trigger projected_delete after delete on {schema}.source referencing old table as changed
    for each statement execute function {schema}.note_sources();
create trigger projected_update after update on {schema}.message referencing new table as changed
    for each statement execute function {schema}.note_messages();
create trigger projected_delete after delete on {schema}.message referencing old table as changed
    for each statement execute function {schema}.note_messages();
create trigger projected_update after update on {schema}.entity
    referencing old table as earlier new table as changed
    for each statement execute function {schema}.note_changed_entities();
