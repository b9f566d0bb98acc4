-- name: status
-- Count what a tenant holds and what is due.
select
    (select count(distinct (t.user_id, t.agent_id, t.run_id)) from {schema}.thread t where @wall(t)),
    (select count(*) from {schema}.thread t where @wall(t)),
    (select coalesce(sum(t.messages), 0)::bigint from {schema}.thread t where @wall(t)),
    (select count(*) from {schema}.vector v where @wall(v)),
    current_setting('server_version'), current_user::text,
    (select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles r where r.rolname = current_user)

-- name: due
-- Count the messages that wait for their vectors, and since when the oldest thread of them does.
select coalesce(sum(t.last_seq - case when t.space = s.key then t.embedded_to else 0 end), 0)::bigint, min(t.updated_at)
from {schema}.thread t
cross join (select s.key from {schema}.space s where @wall(s) and s.active) s
where @wall(t) and t.last_seq > case when t.space = s.key then t.embedded_to else 0 end
