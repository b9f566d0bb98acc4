// Facts in all their versions, what they rest on, their changes, and what was rejected.

// name: facts_by_id
// Every version of facts.
MATCH (f:KeepwellFact) WHERE @wall(f) AND f.id IN $ids RETURN @fact(f) AS fact

// name: facts_by_key_or_mark
// Standing versions of the owner that have one of these keys or say one of these things.
MATCH (f:KeepwellFact) USING INDEX f:KeepwellFact(tenant, mark) WHERE @wall(f) AND f.mark IN $marks AND f.stands = true AND @owner(f) RETURN f.id AS id
UNION
MATCH (f:KeepwellFact) USING INDEX f:KeepwellFact(tenant, fact_key) WHERE @wall(f) AND f.fact_key IN $fact_keys AND f.stands = true AND @owner(f) RETURN f.id AS id

// name: fact_ids_of_scope
// The scope's facts.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.rev > 0 RETURN DISTINCT f.id AS id

// name: facts_in_scope
// Which of these facts are the scope's.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.id IN $ids RETURN DISTINCT f.id AS id

// name: facts_on_messages
// Facts that rest on messages in any version.
UNWIND $keys AS key
MATCH (m:KeepwellMessage {tenant: $tenant, key: key})<-[:RESTS_ON]-(f:KeepwellFact)
WHERE @wall(f) RETURN DISTINCT f.id AS id

// name: facts_on_facts
// Facts that were formed from any version of facts.
MATCH (g:KeepwellFact) WHERE @wall(g) AND g.id IN $ids
MATCH (g)<-[:FORMED_FROM]-(f:KeepwellFact) WHERE @wall(f)
RETURN DISTINCT f.id AS id

// name: facts_expired
// Facts past the day on which they were to be forgotten.
MATCH (f:KeepwellFact) WHERE @wall(f) AND f.expires_at <= $at
    AND NOT EXISTS { MATCH (g:KeepwellFact {tenant: $tenant, id: f.id}) WHERE g.version > f.version }
RETURN f.id AS id, min(f.number) AS number ORDER BY number LIMIT $limit

// name: known_messages
// Which of these messages are there.
UNWIND $keys AS key
MATCH (m:KeepwellMessage {tenant: $tenant, key: key}) RETURN m.key AS key

// name: make_facts
// Keep new versions.
UNWIND $rows AS row CREATE (f:KeepwellFact) SET f = row

// name: keep_facts
// Keep versions as they are.
UNWIND $rows AS row
MATCH (f:KeepwellFact {tenant: row.tenant, number: row.number})
SET f = row

// name: unlink_facts
// Take away what versions rest on.
UNWIND $numbers AS number
MATCH (f:KeepwellFact {tenant: $tenant, number: number})-[r:RESTS_ON|FORMED_FROM]->()
DELETE r

// name: link_messages
// Link versions with the messages that they rest on.
UNWIND $rows AS row
MATCH (f:KeepwellFact {tenant: $tenant, number: row.number})
MATCH (m:KeepwellMessage {tenant: $tenant, key: row.message})
CREATE (f)-[:RESTS_ON {start: row.start, end: row.end, place: row.place}]->(m)

// name: link_facts
// Link versions with those that they were formed from.
UNWIND $rows AS row
MATCH (f:KeepwellFact {tenant: $tenant, number: row.number})
MATCH (g:KeepwellFact {tenant: $tenant, id: row.fact, version: row.version})
CREATE (f)-[:FORMED_FROM {start: row.start, end: row.end, place: row.place}]->(g)

// name: drop_facts
// Remove versions.
UNWIND $numbers AS number
MATCH (f:KeepwellFact {tenant: $tenant, number: number})
DETACH DELETE f

// name: give_fact_vectors
// Give vectors of facts to another owner.
UNWIND $rows AS row
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item = row.item
SET v += row.owner, v.rev = $rev

// name: changes_by_id
// Changes by id.
MATCH (c:KeepwellChange) WHERE @wall(c) AND c.id IN $ids RETURN c {.*} AS change

// name: changes_of_facts
// All changes of facts.
MATCH (c:KeepwellChange) WHERE @wall(c) AND c.fact IN $ids RETURN c {.*} AS change

// name: changes_of_scope
// All changes of a scope.
MATCH (c:KeepwellChange) WHERE @scope(c) AND c.at IS NOT NULL RETURN c {.*} AS change

// name: changes_naming_messages
// Changes that made nothing and name these messages.
UNWIND $keys AS key
MATCH (m:KeepwellMessage {tenant: $tenant, key: key})<-[:NAMES]-(c:KeepwellChange)
WHERE @wall(c) AND c.kind IN ['NONE', 'DELETE']
RETURN c {.*} AS change

// name: changes_naming_facts
// Changes that made nothing and name these facts.
MATCH (g:KeepwellFact) WHERE @wall(g) AND g.id IN $ids
MATCH (g)<-[:NAMES]-(c:KeepwellChange) WHERE @wall(c) AND c.kind IN ['NONE', 'DELETE']
RETURN c {.*} AS change

// name: make_changes
// Keep new changes.
UNWIND $rows AS row CREATE (c:KeepwellChange) SET c = row

// name: name_messages
// Link changes with the messages that they name.
UNWIND $rows AS row
MATCH (c:KeepwellChange {tenant: $tenant, id: row.change})
MATCH (m:KeepwellMessage {tenant: $tenant, key: row.message})
MERGE (c)-[:NAMES]->(m)

// name: name_facts
// Link changes with the facts that they name.
UNWIND $rows AS row
MATCH (c:KeepwellChange {tenant: $tenant, id: row.change})
MATCH (g:KeepwellFact {tenant: $tenant, id: row.fact, version: row.version})
MERGE (c)-[:NAMES]->(g)

// name: give_changes
// Give changes to another owner.
UNWIND $rows AS row
MATCH (c:KeepwellChange {tenant: $tenant, id: row.id})
SET c += row.owner

// name: drop_changes
// Remove changes.
UNWIND $ids AS id
MATCH (c:KeepwellChange {tenant: $tenant, id: id})
DETACH DELETE c

// name: rejections_binding
// Rejections of views that see an owner, and of the view that speaks.
MATCH (r:KeepwellRejection) WHERE @wall(r) AND r.user_id IN $users AND r.agent_id IN $agents AND r.run_id IN $runs
RETURN r {.*} AS rejection

// name: rejections_of_scope
// Rejections of views that see nothing which the scope does not see.
MATCH (r:KeepwellRejection) WHERE @scope(r) RETURN r {.*} AS rejection

// name: keep_rejections
// Keep rejections.
UNWIND $rows AS row CREATE (r:KeepwellRejection) SET r = row

// name: drop_rejections
// Lift rejections.
UNWIND $numbers AS number
MATCH (r:KeepwellRejection {tenant: $tenant, number: number}) DELETE r

// name: page_facts
// Versions of the scope's facts, the newest first, after one.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.recorded_at IS NOT NULL
    AND ($ids IS NULL OR f.id IN $ids)
    AND ($fact_key IS NULL OR f.fact_key = $fact_key)
    AND ($kind IS NULL OR f.kind = $kind)
    AND ($subject IS NULL OR f.subject = $subject)
    AND ($all OR CASE WHEN $as_of IS NULL THEN f.stands = true
        ELSE f.recorded_at <= $as_of AND (f.retired_at IS NULL OR $as_of < f.retired_at) END)
    AND ($valid_at IS NULL OR ((f.valid_from IS NULL OR f.valid_from <= $valid_at)
        AND (f.valid_to IS NULL OR $valid_at < f.valid_to)))
    AND ($message IS NULL OR EXISTS { (f)-[:RESTS_ON]->(:KeepwellMessage {tenant: $tenant, key: $message}) })
    AND ($fact IS NULL OR EXISTS {
        MATCH (f)-[:FORMED_FROM]->(g:KeepwellFact {tenant: $tenant, id: $fact}) WHERE $version IN [0, g.version]
    })
    AND ($at IS NULL OR f.recorded_at < $at OR (f.recorded_at = $at AND f.number < $number))
RETURN f {.*} AS fact ORDER BY f.recorded_at DESC, f.number DESC LIMIT $limit

// name: facts_by_number
// Versions of the scope's facts by number.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.number IN $numbers RETURN f {.*} AS fact

// name: facts_of_scope_by_id
// Every version of the scope's facts.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.id IN $ids RETURN @fact(f) AS fact

// name: quotes
// Messages of the scope that facts rest on.
UNWIND $keys AS key
MATCH (m:KeepwellMessage {tenant: $tenant, key: key}) WHERE @scope(m)
MATCH (t:KeepwellThread {tenant: $tenant, key: m.thread})
RETURN m.key AS key, m.body AS body, t {.*} AS thread

// name: page_changes_newest
// Changes of the scope, the newest first, after one.
MATCH (c:KeepwellChange) WHERE @scope(c) AND c.at IS NOT NULL
    AND ($fact IS NULL OR c.fact = $fact) AND ($ids IS NULL OR c.id IN $ids) AND ($batch IS NULL OR c.batch = $batch)
    AND ($actor IS NULL OR c.actor = $actor) AND ($cause IS NULL OR c.cause = $cause)
    AND ($since IS NULL OR c.at >= $since) AND ($until IS NULL OR c.at < $until)
    AND ($at IS NULL OR c.at < $at OR (c.at = $at AND c.number < $number))
RETURN c {.*} AS change ORDER BY c.at DESC, c.number DESC LIMIT $limit

// name: page_changes_oldest
// The same, the oldest first.
MATCH (c:KeepwellChange) WHERE @scope(c) AND c.at IS NOT NULL
    AND ($fact IS NULL OR c.fact = $fact) AND ($ids IS NULL OR c.id IN $ids) AND ($batch IS NULL OR c.batch = $batch)
    AND ($actor IS NULL OR c.actor = $actor) AND ($cause IS NULL OR c.cause = $cause)
    AND ($since IS NULL OR c.at >= $since) AND ($until IS NULL OR c.at < $until)
    AND ($at IS NULL OR c.at > $at OR (c.at = $at AND c.number > $number))
RETURN c {.*} AS change ORDER BY c.at, c.number LIMIT $limit
