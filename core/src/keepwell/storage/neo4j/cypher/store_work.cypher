// What is not about words: turns of writers, numbers, requests, due work, what model calls cost.

// name: turns
// Wait until nobody else writes in these parts of the tenant. They are numbers made of owners, not owners: they stay
// when an owner is forgotten, and nobody waits for a node that is not there any more.
UNWIND $stripes AS stripe
MERGE (t:KeepwellTurn {tenant: $tenant, stripe: stripe})
SET t.turn = coalesce(t.turn, 0) + 1

// name: ledger
// Wait until nobody else changes facts or removes anything in the tenant; give the time of the last write of facts.
MERGE (l:KeepwellLedger {tenant: $tenant})
SET l.turn = true
WITH l
RETURN l.written AS written

// name: written
// Keep the time of the last write of facts.
MATCH (l:KeepwellLedger {tenant: $tenant}) SET l.written = $written

// name: revision
// Take the next revision of the tenant. It is taken last, so that revisions are in the order of commits.
MERGE (c:KeepwellTenant {tenant: $tenant})
ON CREATE SET c.identity = $identity, c.secret = $secret
SET c.turn = true
WITH c
SET c.rev = coalesce(c.rev, 0) + 1
RETURN c.rev AS rev, c.active AS active

// name: tenant
// What is kept of the tenant itself.
MATCH (c:KeepwellTenant {tenant: $tenant}) RETURN c {.*} AS tenant

// name: make_tenant
// Begin to keep a tenant.
MERGE (c:KeepwellTenant {tenant: $tenant})
ON CREATE SET c.identity = $identity, c.secret = $secret
RETURN c {.*} AS tenant

// name: set_secret
// Take over the secret of another store, where nothing was rejected under this one's.
MATCH (c:KeepwellTenant {tenant: $tenant}) SET c.secret = $secret

// name: numbers
// Take the next numbers, in a transaction of their own.
MERGE (n:KeepwellNumbers {tenant: $tenant})
SET n.turn = true
WITH n
SET n.next = coalesce(n.next, 1) + $size
RETURN n.next - $size AS first

// name: request
// What an idempotency key stands for.
MATCH (r:KeepwellRequest) WHERE @owner(r) AND r.kind = $kind AND r.key = $key RETURN r {.*} AS request

// name: requests_of_threads
// Requests that were answered with these threads.
MATCH (r:KeepwellRequest) WHERE @wall(r) AND r.thread IN $threads RETURN r {.*} AS request

// name: requests_of_scope
// Requests of a scope.
MATCH (r:KeepwellRequest) WHERE @scope(r) RETURN r {.*} AS request

// name: keep_requests
// Keep what keys stand for.
UNWIND $rows AS row CREATE (r:KeepwellRequest) SET r = row

// name: drop_requests
// Forget what keys stand for.
UNWIND $rows AS row
MATCH (r:KeepwellRequest {tenant: $tenant, user_id: row.user_id, agent_id: row.agent_id, run_id: row.run_id,
    kind: row.kind, key: row.key})
DELETE r

// name: owner
// Lease and policy of an owner.
MATCH (o:KeepwellOwner) WHERE @owner(o) RETURN o {.*} AS owner

// name: owners_of_scope
// Leases and policies of a scope's owners.
MATCH (o:KeepwellOwner) WHERE @scope(o) RETURN o {.*} AS owner

// name: keep_owners
// Keep leases and policies.
UNWIND $rows AS row
MERGE (o:KeepwellOwner {tenant: row.tenant, user_id: row.user_id, agent_id: row.agent_id, run_id: row.run_id})
SET o = row

// name: drop_owners
// Forget leases and policies.
UNWIND $rows AS row
MATCH (o:KeepwellOwner {tenant: $tenant, user_id: row.user_id, agent_id: row.agent_id, run_id: row.run_id})
DELETE o

// name: due_items
// Work of these names.
UNWIND $rows AS row
MATCH (d:KeepwellDue {tenant: $tenant, kind: row.kind, user_id: row.user_id, agent_id: row.agent_id,
    run_id: row.run_id, item: row.item})
RETURN d {.*} AS due

// name: due_of_facts
// Work on these facts.
MATCH (d:KeepwellDue) WHERE @wall(d) AND d.item IN $facts RETURN d {.*} AS due

// name: due_of_scope
// Work of a scope.
MATCH (d:KeepwellDue) WHERE @scope(d) RETURN d {.*} AS due

// name: due_now
// Work of these kinds that is due, the longest waiting first.
MATCH (d:KeepwellDue) WHERE @wall(d) AND d.due_at <= $at AND d.kind IN $kinds
RETURN d {.*} AS due ORDER BY d.due_at LIMIT $limit

// name: due_failed
// Work of the tenant that failed.
MATCH (d:KeepwellDue) WHERE @wall(d) AND d.due_at IS NOT NULL AND d.error IS NOT NULL RETURN d {.*} AS due

// name: keep_due
// Keep work.
UNWIND $rows AS row
MERGE (d:KeepwellDue {tenant: row.tenant, kind: row.kind, user_id: row.user_id, agent_id: row.agent_id,
    run_id: row.run_id, item: row.item})
SET d = row

// name: drop_due
// Take work off.
UNWIND $rows AS row
MATCH (d:KeepwellDue {tenant: $tenant, kind: row.kind, user_id: row.user_id, agent_id: row.agent_id,
    run_id: row.run_id, item: row.item})
DELETE d

// name: calls_of_scope
// Model calls of a scope.
MATCH (c:KeepwellCall) WHERE @scope(c) RETURN elementId(c) AS ident, c {.*} AS call

// name: calls_since
// Model calls of the tenant since an instant.
MATCH (c:KeepwellCall) WHERE @wall(c) AND c.at >= $since RETURN c {.*} AS call

// name: keep_calls
// Keep model calls.
UNWIND $rows AS row CREATE (c:KeepwellCall) SET c = row

// name: drop_calls
// Forget model calls.
UNWIND $rows AS row MATCH (c:KeepwellCall) WHERE elementId(c) = row AND @wall(c) DELETE c

// name: keep_gone
// Mark what a reader who holds it must let go of: a number, and not whose it was.
UNWIND $rows AS row CREATE (g:KeepwellGone) SET g = row

// name: prune_gone
// Drop marks that no reader needs any more; readers that are older load anew.
MATCH (g:KeepwellGone) WHERE @wall(g) AND g.stripe IS NOT NULL AND g.rev IS NOT NULL AND g.at < $before
WITH g, g.rev AS rev
DELETE g
RETURN count(*) AS count, max(rev) AS rev

// name: pruned
// Note up to which revision marks were dropped.
MATCH (c:KeepwellTenant {tenant: $tenant})
SET c.pruned = CASE WHEN coalesce(c.pruned, 0) < $rev THEN $rev ELSE c.pruned END

// name: status_counts
// What a tenant holds.
CALL () { MATCH (t:KeepwellThread) WHERE @wall(t) AND t.user_id IS NOT NULL RETURN count(t) AS threads, count(DISTINCT [t.user_id, t.agent_id, t.run_id]) AS owners }
CALL () { MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key > 0 RETURN count(m) AS messages }
CALL () { MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item IS NOT NULL RETURN count(v) AS vectors }
RETURN threads, owners, messages, vectors

// name: status_waiting
// Messages that wait for a vector of the space in use.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.waits = true AND m.length > 0
    AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: m.tenant, item: m.key, space: $space}) }
RETURN count(m) AS count, min(m.recorded_at) AS oldest

// name: formation_counts
// What is due to be formed.
CALL () { MATCH (f:KeepwellFact) WHERE @wall(f) AND f.stands = true RETURN count(f) AS facts }
CALL () { MATCH (c:KeepwellChange) WHERE @wall(c) AND c.fact IS NOT NULL RETURN count(c) AS changes }
CALL () { MATCH (r:KeepwellRejection) WHERE @wall(r) AND r.number > 0 RETURN count(r) AS rejections }
CALL () { MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.parked_at IS NOT NULL RETURN count(m) AS parked }
CALL () { MATCH (d:KeepwellDue) WHERE @wall(d) AND d.due_at IS NOT NULL RETURN collect([d.kind, d.due_at, d.error IS NOT NULL]) AS due }
RETURN facts, changes, rejections, parked, due

// name: newest_lags
// How long the newest messages waited.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key > 0
WITH m ORDER BY m.key DESC LIMIT 1000
RETURN m.found_after AS found, m.formed_after AS formed

// name: owners_with_threads
// Owners with threads, in order, after one.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.user_id IS NOT NULL
WITH DISTINCT t.user_id AS user_id, t.agent_id AS agent_id, t.run_id AS run_id
WHERE $after IS NULL OR [user_id, agent_id, run_id] > $after
RETURN user_id, agent_id, run_id ORDER BY user_id, agent_id, run_id LIMIT $limit

// name: server
// What answers.
CALL dbms.components() YIELD name, versions, edition RETURN name + ' ' + versions[0] + ' ' + edition AS server LIMIT 1

// name: note_language
// Note the language of the tenant's terms, where none is noted; what holds something already was written in the old one.
MATCH (c:KeepwellTenant {tenant: $tenant})
SET c.turn = true
WITH c, EXISTS { MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key > 0 }
    OR EXISTS { MATCH (f:KeepwellFact) WHERE @wall(f) AND f.stands = true } AS holds
SET c.language = coalesce(c.language, CASE WHEN holds THEN $old ELSE $language END)
RETURN c.language AS language

// name: switch_language
// Note another language.
MATCH (c:KeepwellTenant {tenant: $tenant}) SET c.language = $language

// name: old_terms_of_messages
// Messages whose terms are of another language, by number, after one.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key > $after AND m.length > 0
    AND NOT (m.signals ENDS WITH $mark OR ($unmarked AND NOT m.signals =~ '(?s).* @[a-z_]+'))
RETURN m.key AS key, m.body AS body, m.rev AS rev ORDER BY m.key LIMIT $limit

// name: old_terms_of_facts
// Versions of facts whose terms are of another language, by number, after one.
MATCH (f:KeepwellFact) WHERE @wall(f) AND f.number > $after AND f.length > 0
    AND NOT (f.signals ENDS WITH $mark OR ($unmarked AND NOT f.signals =~ '(?s).* @[a-z_]+'))
RETURN f.number AS number, f.text AS text ORDER BY f.number LIMIT $limit

// name: put_terms_of_messages
// Give messages other terms, if they are as they were read.
UNWIND $rows AS row
MATCH (m:KeepwellMessage {tenant: $tenant, key: row.key}) WHERE row.version IN ['', toString(m.rev)]
SET m += row.said
RETURN m.key AS key

// name: put_terms_of_facts
// Give versions of facts other terms.
UNWIND $rows AS row
MATCH (f:KeepwellFact {tenant: $tenant, number: -row.key})
SET f += row.said
RETURN f.number AS key
