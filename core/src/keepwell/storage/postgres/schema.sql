-- All tables as they are after the last migration, to be read, reviewed, or run by hand by a privileged role.
-- pgvector is there already: create extension vector.
--
-- Every row belongs to one tenant and one owner: the exact triple user_id, agent_id, run_id, where an absent id
-- is ''. There are no foreign keys: one statement removes a thing with all that hangs on it, and a vector that is
-- made for a message which goes meanwhile is looked up by its message, not found by itself.

create schema if not exists {schema};

-- Which steps brought the tables here; of no tenant.
create table {schema}.migration (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp()
);

-- Conversations. The row is locked by each append, which takes its seq numbers from last_seq.
create table {schema}.thread (
    key uuid primary key default gen_random_uuid(),
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id text collate "C" not null, -- the caller's, unique within its owner
    title text,
    metadata json not null default '{{}}', -- as it was given, lossless
    labels jsonb not null default '{{}}', -- the same to search in: without what jsonb cannot hold
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    last_seq bigint not null default 0, -- numbers are never used again, so this never falls
    messages bigint not null default 0, -- how many there are now
    length bigint not null default 0, -- how many terms they have together
    source uuid, -- the thread that this one is a clone of
    source_seq bigint, -- up to where it was cloned
    space integer, -- the space that embedded_to speaks of
    embedded_to bigint not null default 0, -- all messages up to this seq have their vectors
    posted_to bigint not null default 0, -- all messages up to this seq have their postings
    unique (tenant, user_id, agent_id, run_id, id)
) with (fillfactor = 80); -- room for the next version of the row beside it: each append writes one

-- What was said.
create table {schema}.message (
    key bigint generated always as identity unique,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    thread uuid not null,
    seq bigint not null, -- the order within the thread
    id text collate "C" not null, -- the caller's, unique within its thread
    body json not null, -- role, parts and the rest; json, because jsonb changes numbers and refuses NUL
    native json, -- the framework's own lossless form
    labels jsonb, -- its metadata to search in
    digest bytea not null, -- of body and native: whether the same id says the same again
    terms text not null, -- its analysed terms, separated by spaces
    created_at timestamptz not null, -- when it was said, by the caller's clock
    recorded_at timestamptz not null default clock_timestamp(),
    written_by xid8 not null default pg_current_xact_id(), -- set anew by each change; readers go by it
    primary key (thread, seq),
    unique (thread, id)
);
create index message_written on {schema}.message (user_id, tenant, written_by);

-- What messages said before they were replaced.
create table {schema}.version (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    thread uuid not null,
    seq bigint not null,
    id text collate "C" not null,
    body json not null,
    native json,
    created_at timestamptz not null,
    recorded_at timestamptz not null,
    replaced_at timestamptz not null default clock_timestamp()
);
create index version_message on {schema}.version (thread, seq, replaced_at);
create index version_owner on {schema}.version (tenant, user_id);

-- Idempotency keys of writes, and what was answered.
create table {schema}.request (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    verb text collate "C" not null,
    key text collate "C" not null,
    digest bytea not null, -- of what was asked
    answer json,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant, user_id, agent_id, run_id, verb, key)
);

-- Which message has which term how often. A table with a btree, because GIN indexes are not used under policies.
create table {schema}.posting (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    term text collate "C" not null,
    message bigint not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    frequency smallint not null,
    primary key (tenant, user_id, term, message) include (agent_id, run_id, frequency)
);
-- Without statistics a tenant is taken for a two-hundredth of the rows. With them, one that came after the last
-- ANALYZE is taken for a single row, and each of its rows is compared with each that is to go.
alter table {schema}.posting alter column tenant set statistics 0;

-- Embedding models; vectors of two spaces never meet.
create table {schema}.space (
    key integer generated always as identity primary key,
    tenant text collate "C" not null,
    model text not null,
    dimension integer not null check (dimension > 0),
    active boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    unique (tenant, model, dimension)
);
create unique index space_active on {schema}.space (tenant) where active;

-- Unit vectors of messages, one a chunk of the text.
create table {schema}.vector (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    space integer not null,
    message bigint not null,
    chunk integer not null,
    embedding {vector} not null, -- as many numbers as its space says
    written_by xid8 not null default pg_current_xact_id(),
    primary key (message, space, chunk)
);
create index vector_written on {schema}.vector (user_id, tenant, space, written_by);

-- Marks of messages that went, or went to another owner, for readers that hold a scope; pruned after a day.
create table {schema}.removal (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    message bigint not null,
    at timestamptz not null default clock_timestamp(),
    written_by xid8 not null default pg_current_xact_id()
);
create index removal_written on {schema}.removal (user_id, tenant, written_by);

-- The second wall: a row is there only for a transaction that carries its tenant, its owner's included.
alter table {schema}.thread enable row level security, force row level security;
alter table {schema}.message enable row level security, force row level security;
alter table {schema}.version enable row level security, force row level security;
alter table {schema}.request enable row level security, force row level security;
alter table {schema}.posting enable row level security, force row level security;
alter table {schema}.space enable row level security, force row level security;
alter table {schema}.vector enable row level security, force row level security;
alter table {schema}.removal enable row level security, force row level security;
create policy tenant on {schema}.thread
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.message
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.version
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.request
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.posting
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.space
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.vector
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.removal
    using (tenant = current_setting('keepwell.tenant', true));

-- What the migrations would have noted, so that a store opens on tables that were made from this text.
insert into {schema}.migration (version, name) values (1, 'conversations'), (2, 'recall');
