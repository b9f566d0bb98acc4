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
