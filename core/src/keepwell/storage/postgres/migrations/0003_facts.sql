-- Facts in all their versions, what they rest on, every change, and what was rejected.

create table {schema}.fact (
    key bigint generated always as identity primary key,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id uuid not null,
    version integer not null,
    body json not null,
    fact_key text collate "C" not null,
    kind text collate "C" not null,
    actor text collate "C" not null,
    labels jsonb,
    fingerprint bytea not null,
    valid_from timestamptz,
    valid_to timestamptz,
    recorded_at timestamptz not null,
    retired_at timestamptz,
    expires_at timestamptz,
    reopened boolean not null default false,
    terms text not null,
    signals text not null,
    unique (id, version, tenant)
);
create unique index fact_standing_key on {schema}.fact (tenant, user_id, agent_id, run_id, fact_key)
    where retired_at is null and fact_key <> '';
create unique index fact_standing on {schema}.fact (tenant, user_id, agent_id, run_id, fingerprint)
    where retired_at is null;
create index fact_recorded on {schema}.fact (user_id, tenant, recorded_at, key);
create index fact_expires on {schema}.fact (expires_at) where expires_at is not null;

create table {schema}.source (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    fact uuid not null,
    version integer not null,
    message bigint,
    span_start integer not null,
    span_end integer not null,
    source_fact uuid,
    source_version integer not null
);
create index source_of on {schema}.source (fact, version);
create index source_message on {schema}.source (message) where message is not null;
create index source_fact on {schema}.source (source_fact) where source_fact is not null;

create table {schema}.change (
    number bigint generated always as identity primary key,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id uuid not null,
    kind text collate "C" not null,
    fact uuid not null,
    before integer,
    after integer,
    reason json not null,
    actor text collate "C" not null,
    batch uuid not null,
    cause uuid,
    sources json not null,
    at timestamptz not null,
    unique (id, tenant)
);
create index change_owner on {schema}.change (user_id, tenant, at, number);
create index change_fact on {schema}.change (fact, number);
create index change_batch on {schema}.change (batch, number);
create index change_cause on {schema}.change (cause) where cause is not null;

create table {schema}.rejection (
    id bigint generated always as identity primary key,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    across_users boolean not null,
    hash bytea not null,
    change uuid,
    at timestamptz not null default clock_timestamp(),
    unique (hash, tenant, user_id, agent_id, run_id, across_users)
);
create index rejection_view on {schema}.rejection (tenant, user_id);

-- No statistics of the tenant, as for postings: the policy's own comparison would make a new tenant look like one row.
alter table {schema}.fact alter column tenant set statistics 0;
alter table {schema}.source alter column tenant set statistics 0;
alter table {schema}.change alter column tenant set statistics 0;
alter table {schema}.vector alter column tenant set statistics 0;

alter table {schema}.fact enable row level security, force row level security;
alter table {schema}.source enable row level security, force row level security;
alter table {schema}.change enable row level security, force row level security;
alter table {schema}.rejection enable row level security, force row level security;
create policy tenant on {schema}.fact
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.source
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.change
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.rejection
    using (tenant = current_setting('keepwell.tenant', true));
