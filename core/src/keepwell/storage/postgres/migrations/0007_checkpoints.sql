-- Checkpoints: LangGraph's own tables in our schema, and whose threads they are of.

-- The four tables of langgraph-checkpoint-postgres as its version 9 has them, names, types and collations included. They
-- have no tenant and no policy: every statement reaches them through checkpoint_thread (docs/explanation/checkpoints.md).
create table {schema}.checkpoint_migrations (
    v integer primary key
);
create table {schema}.checkpoints (
    thread_id text not null,
    checkpoint_ns text not null default '',
    checkpoint_id text not null,
    parent_checkpoint_id text,
    type text,
    checkpoint jsonb not null,
    metadata jsonb not null default '{{}}',
    primary key (thread_id, checkpoint_ns, checkpoint_id)
);
create table {schema}.checkpoint_blobs (
    thread_id text not null,
    checkpoint_ns text not null default '',
    channel text not null,
    version text not null,
    type text not null,
    blob bytea,
    primary key (thread_id, checkpoint_ns, channel, version)
);
create table {schema}.checkpoint_writes (
    thread_id text not null,
    checkpoint_ns text not null default '',
    checkpoint_id text not null,
    task_id text not null,
    idx integer not null,
    channel text not null,
    type text,
    blob bytea not null,
    task_path text not null default '',
    primary key (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);
create index checkpoints_thread_id_idx on {schema}.checkpoints (thread_id);
create index checkpoint_blobs_thread_id_idx on {schema}.checkpoint_blobs (thread_id);
create index checkpoint_writes_thread_id_idx on {schema}.checkpoint_writes (thread_id);
insert into {schema}.checkpoint_migrations (v) select generate_series(0, 9);

-- One row a thread: whose it is, and its thread_id in the tables above. Who writes there holds it, and who removes.
create table {schema}.checkpoint_thread (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    thread text collate "C" not null,
    lodging text not null,
    written_at timestamptz not null default clock_timestamp(),
    primary key (tenant, user_id, agent_id, run_id, thread)
) with (fillfactor = 80);
-- Not unique, though it is: of two that make one row at once, one would fail on the index that "on conflict" does not name.
create index checkpoint_lodging on {schema}.checkpoint_thread (lodging);
alter table {schema}.checkpoint_thread enable row level security, force row level security;
create policy tenant on {schema}.checkpoint_thread
    using (tenant = current_setting('keepwell.tenant', true));
