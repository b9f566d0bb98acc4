-- Formation: who forms an owner's threads, what else is due, and what it cost.

create table {schema}.owner (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    lease bigint not null default 0,
    leased_at timestamptz,
    leased_until timestamptz,
    leased_for interval,
    policy json not null default '{{}}',
    retention double precision,
    facts bigint not null default 0,
    length bigint not null default 0,
    primary key (tenant, user_id, agent_id, run_id)
) with (fillfactor = 80);
create index owner_retention on {schema}.owner (tenant) where retention is not null;

create table {schema}.due (
    tenant text collate "C" not null,
    kind text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    item text collate "C" not null default '',
    due_at timestamptz not null default clock_timestamp(),
    put_at timestamptz not null default clock_timestamp(),
    taken_at timestamptz,
    attempts integer not null default 0,
    error text,
    primary key (tenant, kind, user_id, agent_id, run_id, item)
);
create index due_at on {schema}.due (tenant, kind, due_at);
-- As for postings (0002): items are reached by their whole key.
alter table {schema}.due alter column tenant set statistics 0;
-- As for postings (0002): items are reached by their whole key.
alter table {schema}.due alter column tenant set statistics 0;

create table {schema}.model_call (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    at timestamptz not null default clock_timestamp(),
    model text not null,
    purpose text not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    seconds double precision not null,
    ok boolean not null
);
create index model_call_owner on {schema}.model_call (tenant, user_id, agent_id, run_id, at);
create index model_call_at on {schema}.model_call (tenant, at);

create table {schema}.lag (
    tenant text collate "C" not null,
    at timestamptz not null default clock_timestamp(),
    seconds real[] not null
);
create index lag_at on {schema}.lag (tenant, at);

create table {schema}.secret (
    tenant text collate "C" primary key,
    value bytea not null
);

alter table {schema}.owner enable row level security, force row level security;
alter table {schema}.due enable row level security, force row level security;
alter table {schema}.model_call enable row level security, force row level security;
alter table {schema}.lag enable row level security, force row level security;
alter table {schema}.secret enable row level security, force row level security;
create policy tenant on {schema}.owner
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.due
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.model_call
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.lag
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.secret
    using (tenant = current_setting('keepwell.tenant', true));
