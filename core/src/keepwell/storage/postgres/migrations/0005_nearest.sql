-- Vectors of users with so many that not all are compared: a copy with HNSW indexes, filled behind the writes.

alter table {schema}.vector add column indexed boolean not null default false;
create index vector_waiting on {schema}.vector (user_id, tenant, space, message) where not indexed;

-- A foreign key, the only one: a copy that is being made while its vector is removed would outlive it.
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

alter table {schema}.nearest enable row level security, force row level security;
alter table {schema}.centre enable row level security, force row level security;
create policy tenant on {schema}.nearest
    using (tenant = current_setting('keepwell.tenant', true));
create policy tenant on {schema}.centre
    using (tenant = current_setting('keepwell.tenant', true));
