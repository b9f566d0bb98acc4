-- All tables as they are after the last migration, to be read, reviewed, or run by hand by a privileged role.
-- pgvector is there already: create extension vector.
--
-- Every row belongs to one tenant and one owner: the exact triple user_id, agent_id, run_id, where an absent id
-- is ''. There are no foreign keys but one: one statement removes a thing with all that hangs on it, and a vector that is
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
    formed_to bigint not null default 0, -- all messages up to this seq were formed, or are not to be
    due_at timestamptz, -- when it is to be formed; null: there is nothing to be formed
    due_from timestamptz, -- no later than due_at, and indexed: it stays where each append puts due_at off
    form_attempts integer not null default 0, -- how often forming failed since it last went well
    form_error text,
    policy json not null default '{{}}', -- what is set for its formation
    retention double precision, -- days, from the policy
    oldest timestamptz not null default '-infinity', -- no message was said before; -infinity: not known
    space integer, -- the space that embedded_to speaks of
    embedded_to bigint not null default 0, -- all messages up to this seq have their vectors
    posted_to bigint not null default 0, -- all messages up to this seq have their postings
    graph_to bigint not null default 0, -- all messages up to this seq were looked through for names
    unique (tenant, user_id, agent_id, run_id, id)
) with (fillfactor = 80); -- room for the next version of the row beside it: each append writes one
create index thread_due on {schema}.thread (tenant, due_from, key) where due_from is not null;
create index thread_retention on {schema}.thread (tenant) where retention is not null;

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
    actor text not null default '', -- who said it: its name, else its role
    signals text not null default '', -- what else it is found by: dates, names, and such
    form_again boolean not null default false, -- it is to be formed though the watermark has passed it
    parked text, -- why it could not be formed; it is left out until it is retried
    parked_at timestamptz,
    created_at timestamptz not null, -- when it was said, by the caller's clock
    recorded_at timestamptz not null default clock_timestamp(),
    written_by xid8 not null default pg_current_xact_id(), -- set anew by each change; readers go by it
    graph_again boolean not null default false, -- it was replaced since it may have been looked through for names
    primary key (thread, seq),
    unique (thread, id)
);
create index message_written on {schema}.message (user_id, tenant, written_by);
create index message_open on {schema}.message (tenant, thread, seq) where form_again or parked is not null;
create index message_unseen on {schema}.message (tenant, thread, seq) where graph_again;

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
    made_at timestamptz not null default clock_timestamp(), -- since when its message could be recalled by it
    written_by xid8 not null default pg_current_xact_id(),
    indexed boolean not null default false, -- whether it is in `nearest`
    primary key (message, space, chunk)
);
create index vector_waiting on {schema}.vector (user_id, tenant, space, message) where not indexed;
create index vector_written on {schema}.vector (user_id, tenant, space, written_by);

-- Marks of messages and facts that went, or went to another owner, and of versions of facts that were written: what a
-- reader that holds a scope drops, or looks at anew; pruned after a day.
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

-- Facts: one row a version. At most one version of a fact stands, and its owner has no other fact of that key or
-- of that statement; standing versions alone have postings and vectors, under the negative key.
create table {schema}.fact (
    key bigint generated always as identity primary key,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id uuid not null, -- the same through all versions
    version integer not null,
    body json not null, -- text, subject, kind, confidence, trust, metadata
    fact_key text collate "C" not null, -- the caller's, '' where there is none
    kind text collate "C" not null, -- to search in
    actor text collate "C" not null, -- whom it is about, to search in
    labels jsonb, -- its metadata to search in
    fingerprint bytea not null, -- the same for statements that say the same
    valid_from timestamptz, -- when it is true
    valid_to timestamptz,
    recorded_at timestamptz not null, -- when it was held
    retired_at timestamptz, -- null: it stands
    expires_at timestamptz,
    reopened boolean not null default false, -- something it rests on changed, and it was not looked at since
    terms text not null,
    signals text not null,
    began_at timestamptz, -- of an item of a store: when its first version was put
    touched_at timestamptz, -- of an item: when it was put last, be it with the same value
    ttl double precision, -- of an item: for how many minutes it lives
    unique (id, version, tenant)
);
create unique index fact_standing_key on {schema}.fact (tenant, user_id, agent_id, run_id, fact_key)
    where retired_at is null and fact_key <> '';
create unique index fact_standing on {schema}.fact (tenant, user_id, agent_id, run_id, fingerprint)
    where retired_at is null;
create index fact_recorded on {schema}.fact (user_id, tenant, recorded_at, key);
create index fact_item on {schema}.fact (tenant, fact_key) where retired_at is null and kind = 'item';
create index fact_expires on {schema}.fact (expires_at) where expires_at is not null;

-- What a version of a fact rests on: a message with a span of its text, or a version of another fact. The sources
-- of a decision that made no version have the change's id in the place of the fact, and version 0.
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

-- History: one row a change, never updated. What a fact said before and says after is in its versions.
create table {schema}.change (
    number bigint generated always as identity primary key, -- the order of an owner's changes
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    id uuid not null,
    kind text collate "C" not null, -- ADD, UPDATE, DELETE, RESTORE, NONE
    fact uuid not null,
    before integer, -- versions
    after integer,
    reason json not null, -- a text; json, because text refuses NUL
    actor text collate "C" not null, -- who made it
    batch uuid not null, -- shared by the changes of one write
    cause uuid, -- the change that made it necessary
    sources json not null,
    at timestamptz not null,
    unique (id, tenant)
);
create index change_owner on {schema}.change (user_id, tenant, at, number);
create index change_fact on {schema}.change (fact, number);
create index change_batch on {schema}.change (batch, number);
create index change_cause on {schema}.change (cause) where cause is not null;

-- What may not be learned again, as keyed hashes, and the view that said so: '' is an id that was not given.
create table {schema}.rejection (
    id bigint generated always as identity primary key,
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    across_users boolean not null,
    hash bytea not null,
    change uuid, -- the change that it came with, which has the reason
    at timestamptz not null default clock_timestamp(),
    unique (hash, tenant, user_id, agent_id, run_id, across_users)
);
create index rejection_view on {schema}.rejection (tenant, user_id);

-- No statistics of the tenant, as for postings: the policy's own comparison would make a new tenant look like one row.
alter table {schema}.fact alter column tenant set statistics 0;
alter table {schema}.source alter column tenant set statistics 0;
alter table {schema}.change alter column tenant set statistics 0;
alter table {schema}.vector alter column tenant set statistics 0;

-- Owners, made when they are first needed. The row is locked by each claim and by each change of facts.
create table {schema}.owner (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    lease bigint not null default 0, -- raised by each claim, compared by what it applies
    leased_at timestamptz, -- since when what it forms may have been read
    leased_until timestamptz, -- null or past: anybody may claim it
    leased_for interval, -- by how much an applied part renews it
    policy json not null default '{{}}',
    retention double precision, -- days, from the policy
    facts bigint not null default 0, -- how many stand
    length bigint not null default 0, -- how many terms they have together
    graph_to bigint not null default 0, -- its facts up to this key were looked through for names
    last_fact bigint not null default 0, -- the greatest key of its facts
    primary key (tenant, user_id, agent_id, run_id)
) with (fillfactor = 80);
create index owner_retention on {schema}.owner (tenant) where retention is not null;

-- Work that is not of a thread: vectors of facts, facts to be looked at again, distillation, retention.
create table {schema}.due (
    tenant text collate "C" not null,
    kind text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    item text collate "C" not null default '', -- a fact's id; '' where it is the owner's
    due_at timestamptz not null default clock_timestamp(), -- who takes it puts it off, so that others do not see it
    put_at timestamptz not null default clock_timestamp(), -- when it was noted last: work noted after it was taken stays
    taken_at timestamptz,
    attempts integer not null default 0,
    error text,
    primary key (tenant, kind, user_id, agent_id, run_id, item)
);
create index due_at on {schema}.due (tenant, kind, due_at);
-- As for postings: items are reached by their whole key, not by comparing all of the tenant's.
alter table {schema}.due alter column tenant set statistics 0;
-- As for postings: items are reached by their whole key, not by comparing all of the tenant's.
alter table {schema}.due alter column tenant set statistics 0;

-- Calls of language models: what they cost, never what was said in them.
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

-- How long messages waited to be formed, a row a formation.
create table {schema}.lag (
    tenant text collate "C" not null,
    at timestamptz not null default clock_timestamp(),
    seconds real[] not null
);
create index lag_at on {schema}.lag (tenant, at);

-- The language by whose rules a tenant's terms are made.
create table {schema}.language (
    tenant text collate "C" primary key,
    name text not null
);

-- Under which a tenant's rejections are hashed.
create table {schema}.secret (
    tenant text collate "C" primary key,
    value bytea not null
);

-- Vectors of users with so many that not all are compared: a copy with HNSW indexes, filled behind the writes. It has
-- a foreign key, the only one: a copy that is being made while its vector is removed would outlive it.
create table {schema}.nearest (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    space integer not null,
    message bigint not null,
    chunk integer not null,
    dimension integer not null,
    embedding {vector} not null,
    primary key (message, space, chunk),
    foreign key (message, space, chunk) references {schema}.vector on delete cascade
);
create index nearest_user on {schema}.nearest (user_id, tenant, space);
-- An index has one dimension; these are the ones that embedding models have. Vectors of others are compared one by one.
create index nearest_64 on {schema}.nearest
    using hnsw ((embedding::{vector}(64)) {extensions}.vector_ip_ops) where dimension = 64;
create index nearest_128 on {schema}.nearest
    using hnsw ((embedding::{vector}(128)) {extensions}.vector_ip_ops) where dimension = 128;
create index nearest_256 on {schema}.nearest
    using hnsw ((embedding::{vector}(256)) {extensions}.vector_ip_ops) where dimension = 256;
create index nearest_384 on {schema}.nearest
    using hnsw ((embedding::{vector}(384)) {extensions}.vector_ip_ops) where dimension = 384;
create index nearest_512 on {schema}.nearest
    using hnsw ((embedding::{vector}(512)) {extensions}.vector_ip_ops) where dimension = 512;
create index nearest_768 on {schema}.nearest
    using hnsw ((embedding::{vector}(768)) {extensions}.vector_ip_ops) where dimension = 768;
create index nearest_1024 on {schema}.nearest
    using hnsw ((embedding::{vector}(1024)) {extensions}.vector_ip_ops) where dimension = 1024;
create index nearest_1536 on {schema}.nearest
    using hnsw ((embedding::{vector}(1536)) {extensions}.vector_ip_ops) where dimension = 1536;
-- Above 2,000 numbers only half precision can be indexed, which pgvector has since 0.7.
do $$
begin
    if to_regtype('{extensions}.halfvec') is not null then
        create index nearest_2048 on {schema}.nearest
            using hnsw ((embedding::{extensions}.halfvec(2048)) {extensions}.halfvec_ip_ops) where dimension = 2048;
        create index nearest_3072 on {schema}.nearest
            using hnsw ((embedding::{extensions}.halfvec(3072)) {extensions}.halfvec_ip_ops) where dimension = 3072;
    end if;
end
$$;

-- The sum and the count of an owner's vectors that are in the index.
create table {schema}.centre (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    space integer not null,
    vectors bigint not null,
    total {vector} not null,
    primary key (tenant, user_id, agent_id, run_id, space)
);

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
    space integer, -- whose embedding it has; null: one is to be made
    stated_by xid8 not null default pg_current_xact_id(), -- what changed the words of its embedding last
    primary key (id, tenant)
) with (fillfactor = 80);
create index entity_owner on {schema}.entity (user_id, tenant, last_seen, id);
create index entity_merged on {schema}.entity (merged_into) where merged_into is not null;
create index entity_unembedded on {schema}.entity (tenant, id)
    where space is null and merged_into is null and retired_at is null;

-- What the relations of an entity say it is, or else its names, as a vector: compared one by one within a scope.
create table {schema}.entity_vector (
    tenant text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    run_id text collate "C" not null,
    space integer not null,
    entity uuid not null,
    embedding {vector} not null,
    primary key (entity, space, tenant)
);
create index entity_vector_owner on {schema}.entity_vector (user_id, tenant, space);

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
alter table {schema}.entity_vector alter column tenant set statistics 0;

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

-- What an embedding was made of must not outlive its words: whatever changes them takes it away, in the same
-- transaction, and a new one is due.
create function {schema}.restate(of_tenant text, ids uuid[]) returns void language sql as $$
    delete from {schema}.entity_vector v where v.entity = any(ids) and v.tenant = of_tenant;
    update {schema}.entity e set space = null, stated_by = pg_current_xact_id()
    where e.id = any(ids) and e.tenant = of_tenant
        and (e.space is not null or e.stated_by <> pg_current_xact_id());
$$;
create function {schema}.restate_named() returns trigger language plpgsql as $$
begin
    perform {schema}.restate(c.tenant, array_agg(distinct coalesce(e.merged_into, e.id)))
    from changed c join {schema}.entity e on e.id = c.entity and e.tenant = c.tenant group by c.tenant;
    return null;
end
$$;
create function {schema}.restate_related() returns trigger language plpgsql as $$
begin
    perform {schema}.restate(c.tenant, array_agg(distinct coalesce(e.merged_into, e.id)))
    from changed c join {schema}.entity e on e.id = c.subject and e.tenant = c.tenant group by c.tenant;
    return null;
end
$$;
create function {schema}.restate_entity() returns trigger language plpgsql as $$
begin
    perform {schema}.restate(new.tenant, array_remove(array[new.id, old.merged_into, new.merged_into], null));
    return null;
end
$$;
create function {schema}.drop_embeddings() returns trigger language plpgsql as $$
begin
    delete from {schema}.entity_vector v using gone g where v.entity = g.id and v.tenant = g.tenant;
    return null;
end
$$;
create trigger restated_insert after insert on {schema}.name referencing new table as changed
    for each statement execute function {schema}.restate_named();
create trigger restated_delete after delete on {schema}.name referencing old table as changed
    for each statement execute function {schema}.restate_named();
create trigger restated_insert after insert on {schema}.relation referencing new table as changed
    for each statement execute function {schema}.restate_related();
create trigger restated_update after update on {schema}.relation referencing new table as changed
    for each statement execute function {schema}.restate_related();
create trigger restated_delete after delete on {schema}.relation referencing old table as changed
    for each statement execute function {schema}.restate_related();
create trigger restated_update after update on {schema}.entity for each row
    when ((old.name, old.type, old.merged_into, old.retired_at, old.user_id, old.agent_id, old.run_id)
        is distinct from (
            new.name, new.type, new.merged_into, new.retired_at, new.user_id, new.agent_id, new.run_id))
    execute function {schema}.restate_entity();
create trigger restated_delete after delete on {schema}.entity referencing old table as gone
    for each statement execute function {schema}.drop_embeddings();

-- The second wall: a row is there only for a transaction that carries its tenant, its owner's included.
alter table {schema}.thread enable row level security, force row level security;
alter table {schema}.message enable row level security, force row level security;
alter table {schema}.version enable row level security, force row level security;
alter table {schema}.request enable row level security, force row level security;
alter table {schema}.posting enable row level security, force row level security;
alter table {schema}.space enable row level security, force row level security;
alter table {schema}.vector enable row level security, force row level security;
alter table {schema}.removal enable row level security, force row level security;
alter table {schema}.fact enable row level security, force row level security;
alter table {schema}.source enable row level security, force row level security;
alter table {schema}.change enable row level security, force row level security;
alter table {schema}.rejection enable row level security, force row level security;
alter table {schema}.owner enable row level security, force row level security;
alter table {schema}.due enable row level security, force row level security;
alter table {schema}.model_call enable row level security, force row level security;
alter table {schema}.lag enable row level security, force row level security;
alter table {schema}.secret enable row level security, force row level security;
alter table {schema}.language enable row level security, force row level security;
alter table {schema}.nearest enable row level security, force row level security;
alter table {schema}.centre enable row level security, force row level security;
alter table {schema}.entity enable row level security, force row level security;
alter table {schema}.name enable row level security, force row level security;
alter table {schema}.name_gram enable row level security, force row level security;
alter table {schema}.mention enable row level security, force row level security;
alter table {schema}.relation enable row level security, force row level security;
alter table {schema}.ground enable row level security, force row level security;
alter table {schema}.graph_change enable row level security, force row level security;
alter table {schema}.entity_vector enable row level security, force row level security;
alter table {schema}.projection enable row level security, force row level security;
alter table {schema}.outbox enable row level security, force row level security;
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
create policy tenant on {schema}.fact
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.source
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.change
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.rejection
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.owner
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.due
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.model_call
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.lag
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.language
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.secret
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.nearest
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.centre
    using (tenant = current_setting('keepwell.tenant', true));
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
create policy tenant on {schema}.entity_vector
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.projection
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.outbox
    using (tenant = current_setting('keepwell.tenant', true));

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

-- What a scope holds with its vectors, as rows that a vector store of another library reads: a view that sees what its
-- reader may see. Servers before 15 have no such views, and go without.
do $$
begin
    if current_setting('server_version_num')::int >= 150000 then
        create function {schema}.readable(body json) returns json language sql immutable parallel safe as $text$
            -- What PostgreSQL refuses to read from JSON, NUL and halves of surrogate pairs, is shown as unknown.
            select case when body::text !~ '\\u(0000|d[89a-f])' then body else regexp_replace(
                body::text, '\\u0000|\\ud[89ab][0-9a-f]{{2}}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{{2}})\\ud[c-f][0-9a-f]{{2}}',
                '\\ufffd', 'g'
            )::json end
        $text$;
        create view {schema}.document with (security_invoker = true) as
        with asked as (
            select current_setting('keepwell.tenant', true) as tenant,
                coalesce(current_setting('keepwell.user_id', true), '') as user_id,
                coalesce(current_setting('keepwell.agent_id', true), '') as agent_id,
                coalesce(current_setting('keepwell.run_id', true), '') as run_id,
                coalesce(current_setting('keepwell.across_users', true), '') = 'on' as across_users
        ), seen as (
            select v.message, v.chunk, v.embedding, v.user_id, v.agent_id, v.run_id
            from asked a join {schema}.vector v on v.tenant = a.tenant and (a.across_users or v.user_id = a.user_id)
                and a.agent_id in ('', v.agent_id) and a.run_id in ('', v.run_id)
            join {schema}.space s on s.tenant = v.tenant and s.key = v.space and s.active
        )
        select n.message::text || ':' || n.chunk::text as langchain_id,
            coalesce(
                {schema}.readable(m.body) ->> 'text',
                (select string_agg(p ->> 'text', E'\n\n')
                    from json_array_elements({schema}.readable(m.body) -> 'parts') p where p ->> 'type' = 'text'),
                ''
            ) as content,
            n.embedding, 'message'::text as kind, m.id as source_id, t.id as thread, m.created_at as at,
            n.user_id::text as user_id, n.agent_id::text as agent_id, n.run_id::text as run_id,
            coalesce(m.labels, '{{}}')::json as langchain_metadata
        from seen n join {schema}.message m on m.key = n.message join {schema}.thread t on t.key = m.thread
        union all
        select n.message::text || ':' || n.chunk::text, {schema}.readable(f.body) ->> 'text', n.embedding, 'fact',
            f.id::text, null, coalesce(f.valid_from, f.recorded_at), n.user_id, n.agent_id, n.run_id,
            coalesce(f.labels, '{{}}')::json
        from seen n join {schema}.fact f on f.key = -n.message and f.retired_at is null;
    end if;
end
$$;

-- What the migrations would have noted, so that a store opens on tables that were made from this text.
insert into {schema}.migration (version, name) values (1, 'conversations'), (2, 'recall'), (3, 'facts'), (4, 'due'),
    (5, 'nearest'), (6, 'graph'), (7, 'checkpoints'), (8, 'items'), (9, 'language'), (10, 'documents'),
    (11, 'embeddings');
