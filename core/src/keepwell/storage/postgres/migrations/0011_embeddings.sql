-- Embeddings of entities: of what their relations say they are, or else of their names.

alter table {schema}.entity
    add column space integer, -- whose embedding it has; null: one is to be made
    add column stated_by xid8 not null default pg_current_xact_id(); -- what changed the words of its embedding last
create index entity_unembedded on {schema}.entity (tenant, id)
    where space is null and merged_into is null and retired_at is null;

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
alter table {schema}.entity_vector alter column tenant set statistics 0;
alter table {schema}.entity_vector enable row level security, force row level security;
create policy tenant on {schema}.entity_vector
    using (tenant = current_setting('keepwell.tenant', true));

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
