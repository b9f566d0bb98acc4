-- The language by whose rules a tenant's terms are made.

create table {schema}.language (
    tenant text collate "C" primary key,
    name text not null
);
alter table {schema}.language enable row level security, force row level security;
create policy tenant on {schema}.language
    using (tenant = current_setting('keepwell.tenant', true));
