-- What recall needs: postings for keywords, spaces and their vectors, and marks of what was removed.

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

create table {schema}.vector (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    space integer not null,
    message bigint not null,
    chunk integer not null,
    embedding {vector} not null,
    made_at timestamptz not null default clock_timestamp(),
    written_by xid8 not null default pg_current_xact_id(),
    primary key (message, space, chunk)
);
create index vector_written on {schema}.vector (user_id, tenant, space, written_by);

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

alter table {schema}.thread add column space integer;
alter table {schema}.thread add column embedded_to bigint not null default 0;
alter table {schema}.thread add column posted_to bigint not null default 0;

alter table {schema}.posting enable row level security, force row level security;
alter table {schema}.space enable row level security, force row level security;
alter table {schema}.vector enable row level security, force row level security;
alter table {schema}.removal enable row level security, force row level security;
create policy tenant on {schema}.posting
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.space
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.vector
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.removal
    using (tenant = current_setting('keepwell.tenant', true));
