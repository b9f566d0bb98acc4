-- Threads, their messages, the older versions of messages, and the idempotency keys of writes.

create table {schema}.thread (
    key uuid primary key default gen_random_uuid(),
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id text collate "C" not null,
    title text,
    metadata json not null default '{{}}',
    labels jsonb not null default '{{}}',
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    last_seq bigint not null default 0,
    messages bigint not null default 0,
    length bigint not null default 0,
    source uuid,
    source_seq bigint,
    formed_to bigint not null default 0,
    due_at timestamptz,
    due_from timestamptz,
    form_attempts integer not null default 0,
    form_error text,
    policy json not null default '{{}}',
    retention double precision,
    oldest timestamptz not null default '-infinity',
    unique (tenant, user_id, agent_id, run_id, id)
) with (fillfactor = 80);
create index thread_due on {schema}.thread (tenant, due_from, key) where due_from is not null;
create index thread_retention on {schema}.thread (tenant) where retention is not null;

create table {schema}.message (
    key bigint generated always as identity unique,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    thread uuid not null,
    seq bigint not null,
    id text collate "C" not null,
    body json not null,
    native json,
    labels jsonb,
    digest bytea not null,
    terms text not null,
    actor text not null default '',
    signals text not null default '',
    form_again boolean not null default false,
    parked text,
    parked_at timestamptz,
    created_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp(),
    written_by xid8 not null default pg_current_xact_id(),
    primary key (thread, seq),
    unique (thread, id)
);
create index message_written on {schema}.message (user_id, tenant, written_by);
create index message_open on {schema}.message (tenant, thread, seq) where form_again or parked is not null;

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

create table {schema}.request (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    verb text collate "C" not null,
    key text collate "C" not null,
    digest bytea not null,
    answer json,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant, user_id, agent_id, run_id, verb, key)
);

alter table {schema}.thread enable row level security, force row level security;
alter table {schema}.message enable row level security, force row level security;
alter table {schema}.version enable row level security, force row level security;
alter table {schema}.request enable row level security, force row level security;
create policy tenant on {schema}.thread
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.message
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.version
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.request
    using (tenant = current_setting('keepwell.tenant', true));
