// name: claim
// Take the projector's place where it is free, ours, or its holder's time is over; no row where it is taken.
MERGE (p:KeepwellProjection {tenant: $tenant})
ON CREATE SET p.generation = 0, p.generations = 0
SET p.touched = timestamp()
WITH p WHERE p.holder IS NULL OR p.holder = $holder OR p.until < timestamp()
SET p.holder = $holder, p.until = timestamp() + $lease
RETURN p {.*} AS p

// name: release
// Leave the projector's place to others.
MATCH (p:KeepwellProjection {tenant: $tenant, holder: $holder})
REMOVE p.holder, p.until

// name: state
// How far the projection is.
MATCH (p:KeepwellProjection {tenant: $tenant})
RETURN p {.*} AS p, timestamp() AS now

// name: advance
// Move the position on, where it is still the one that was read from; no row where somebody else moved it.
MATCH (p:KeepwellProjection {tenant: $tenant})
SET p.touched = timestamp()
WITH p
WHERE p.identity = $identity AND coalesce(p.position, '') = $before
SET p.position = $after, p.stamp = $stamp, p.applied_at = timestamp(), p.applied = coalesce(p.applied, 0) + $count,
    p.until = CASE WHEN p.holder = $holder THEN timestamp() + $lease ELSE p.until END
RETURN p {.*} AS p, coalesce(p.building_until, 0) >= timestamp() AS building

// name: begin_build
// Begin a generation beside the live one, unless somebody is at it; no row then.
MERGE (p:KeepwellProjection {tenant: $tenant})
ON CREATE SET p.generation = 0, p.generations = 0
SET p.touched = timestamp()
WITH p WHERE p.building IS NULL OR p.building_holder = $holder OR p.building_until < timestamp()
WITH p, p.building AS left, p.generations + 1 AS fresh
SET p.generations = fresh, p.building = fresh, p.building_identity = $identity,
    p.building_holder = $holder, p.building_until = timestamp() + $lease,
    p.building_position = CASE WHEN p.identity = $identity THEN p.position ELSE null END
RETURN p {.*} AS p, left

// name: go_on_building
// Move the building's position on and keep its place; no row where it was taken by another.
MATCH (p:KeepwellProjection {tenant: $tenant})
SET p.touched = timestamp()
WITH p
WHERE p.building = $generation AND p.building_holder = $holder AND p.building_until >= timestamp()
SET p.building_position = coalesce($after, p.building_position), p.building_until = timestamp() + $lease
RETURN p {.*} AS p

// name: switch
// Make what was built the live generation.
MATCH (p:KeepwellProjection {tenant: $tenant})
SET p.touched = timestamp()
WITH p, p.generation AS old
WHERE p.building = $generation AND p.building_holder = $holder AND p.building_until >= timestamp()
SET p.generation = p.building, p.identity = p.building_identity, p.position = p.building_position,
    p.stamp = $stamp, p.built_at = timestamp(), p.applied_at = timestamp()
REMOVE p.building, p.building_identity, p.building_position, p.building_holder, p.building_until
RETURN p {.*} AS p, old

// name: give_up_building
// Leave what was begun; whoever builds next removes it.
MATCH (p:KeepwellProjection {tenant: $tenant, building: $generation, building_holder: $holder})
SET p.building_until = 0

// name: put_nodes
// Nodes of one label in their present state, where that is newer than what is there.
UNWIND $rows AS row
MERGE (n:@LABEL {tenant: $tenant, generation: $generation, id: row[0]})
WITH n, row WHERE coalesce(n.stamp, -1) < $stamp
SET n = @SAID

// name: make_nodes
// Nodes of one label that nobody can have made before.
UNWIND $rows AS row
CREATE (:@LABEL @SAID)

// name: put_threads
// The threads of messages.
UNWIND $rows AS row
MERGE (t:Thread {tenant: $tenant, generation: $generation, id: row[0]})
SET t += @OWNED, t.thread_id = row[4]

// name: put_lies
// That messages lie in their threads, and in no other.
UNWIND $rows AS row
MATCH (m:Message {tenant: $tenant, generation: $generation, id: row[0]})
MATCH (t:Thread {tenant: $tenant, generation: $generation, id: row[1]})
OPTIONAL MATCH (m)-[old:IN]->(other) WHERE other <> t
DELETE old
MERGE (m)-[i:IN]->(t)
SET i = @OWNED

// name: make_lies
// That messages which were just made lie in their threads.
UNWIND $rows AS row
MATCH (m:Message {tenant: $tenant, generation: $generation, id: row[0]})
MATCH (t:Thread {tenant: $tenant, generation: $generation, id: row[1]})
CREATE (m)-[:IN @OWNED]->(t)

// name: drop_grounds
// Take away what facts rested on before; gives the nodes at the other end.
UNWIND $ids AS id
MATCH (:Fact {tenant: $tenant, generation: $generation, id: id})-[r:RESTS_ON]->(to) WHERE r.stamp < $stamp
DELETE r
RETURN DISTINCT labels(to)[0] AS label, to.id AS id

// name: put_grounds
// What facts rest on; the other end is made, without a word, where it has not come yet.
UNWIND $rows AS row
MATCH (f:Fact {tenant: $tenant, generation: $generation, id: row[0]})
MERGE (to:@LABEL {tenant: $tenant, generation: $generation, id: row[1]})
MERGE (f)-[r:RESTS_ON]->(to)
SET r = @OWNED

// name: renew_edges
// Relations of one type that are there, between the same two: their present state; gives the ids of those.
UNWIND $rows AS row
MATCH (a)-[r:@TYPE {tenant: $tenant, generation: $generation, id: row[2]}]->(b)
WHERE r.stamp < $stamp AND a.id = row[0] AND b.id = row[1]
SET r = @SAID
RETURN collect(row[2]) AS ids

// name: drop_edges
// Take away relations of one type that are older than what is known now; gives the nodes at both ends.
UNWIND $ids AS id
MATCH (a)-[r:@TYPE {tenant: $tenant, generation: $generation, id: id}]->(b) WHERE r.stamp < $stamp
DELETE r
WITH collect({label: labels(a)[0], id: a.id}) + collect({label: labels(b)[0], id: b.id}) AS ends
UNWIND ends AS end
RETURN DISTINCT end.label AS label, end.id AS id

// name: put_edges
// Relations of one type in their present state; an end is made, without a word, where it has not come yet.
UNWIND $rows AS row
OPTIONAL MATCH ()-[there:@TYPE {tenant: $tenant, generation: $generation, id: row[2]}]->()
WITH row, there WHERE there IS NULL
MERGE (a:@FROM {tenant: $tenant, generation: $generation, id: row[0]})
MERGE (b:@TO {tenant: $tenant, generation: $generation, id: row[1]})
CREATE (a)-[:@TYPE @SAID]->(b)

// name: make_edges
// Relations of one type that nobody can have made before.
UNWIND $rows AS row
MERGE (a:@FROM {tenant: $tenant, generation: $generation, id: row[0]})
MERGE (b:@TO {tenant: $tenant, generation: $generation, id: row[1]})
CREATE (a)-[:@TYPE @SAID]->(b)

// name: drop_nodes
// Take away nodes of one label with what is theirs; one that others point at stays, without a word.
UNWIND $ids AS id
MATCH (n:@LABEL {tenant: $tenant, generation: $generation, id: id}) WHERE coalesce(n.stamp, -1) < $stamp
OPTIONAL MATCH (n)-[own:RESTS_ON|IN]->(to)
DELETE own
SET n = {tenant: $tenant, generation: $generation, id: id}
WITH collect({label: '@LABEL', id: id}) + collect({label: labels(to)[0], id: to.id}) AS ends
UNWIND ends AS end
WITH end WHERE end.id IS NOT NULL
RETURN DISTINCT end.label AS label, end.id AS id

// name: sweep
// Take away nodes of one label that say nothing and that nothing points at.
UNWIND $ids AS id
MATCH (n:@LABEL {tenant: $tenant, generation: $generation, id: id})
WHERE (n.mark IS NULL OR n:Thread) AND NOT (n)--()
DELETE n

// name: tally_nodes
// How many things of a label there are, and the sum of their marks.
MATCH (n:@LABEL {tenant: $tenant, generation: $generation}) WHERE n.mark IS NOT NULL
RETURN count(n) AS count, coalesce(sum(n.mark), 0) AS checksum

// name: tally_edges
// The same of a type of relations.
MATCH ()-[r:@TYPE {tenant: $tenant, generation: $generation}]->()
RETURN count(r) AS count, coalesce(sum(r.mark), 0) AS checksum

// name: scan_entity
// Entities in the order of their ids, with all that they say.
MATCH (n:Entity {tenant: $tenant, generation: $generation}) WHERE n.id @WHICH AND n.mark IS NOT NULL
RETURN n.id AS id, n {.*} AS said, {} AS ends ORDER BY id LIMIT $limit

// name: scan_fact
// Facts likewise, with what they rest on.
MATCH (n:Fact {tenant: $tenant, generation: $generation}) WHERE n.id @WHICH AND n.mark IS NOT NULL
WITH n ORDER BY n.id LIMIT $limit
RETURN n.id AS id, n {.*} AS said,
    {messages: [(n)-[:RESTS_ON]->(m:Message) | m.id], facts: [(n)-[:RESTS_ON]->(f:Fact) | f.id]} AS ends
ORDER BY id

// name: scan_message
// Messages likewise, with their threads.
MATCH (n:Message {tenant: $tenant, generation: $generation}) WHERE n.id @WHICH AND n.mark IS NOT NULL
WITH n ORDER BY n.id LIMIT $limit
OPTIONAL MATCH (n)-[:IN]->(t:Thread)
RETURN n.id AS id, n {.*} AS said, {thread: t.id, thread_id: t.thread_id} AS ends
ORDER BY id

// name: scan_relation
// Relations likewise, with their ends.
MATCH (a)-[r:RELATED]->(b) WHERE r.tenant = $tenant AND r.generation = $generation AND r.id @WHICH
RETURN r.id AS id, r {.*} AS said, {subject: a.id, object: b.id} AS ends ORDER BY id LIMIT $limit

// name: scan_mention
// Mentions likewise.
MATCH (a)-[r:MENTIONS]->(b) WHERE r.tenant = $tenant AND r.generation = $generation AND r.id @WHICH
RETURN r.id AS id, r {.*} AS said,
    {message: CASE WHEN a:Message THEN a.id END, fact: CASE WHEN a:Fact THEN a.id END, entity: b.id} AS ends
ORDER BY id LIMIT $limit

// name: generations
// The generations of a tenant of which anything is left.
MATCH (n:Entity|Fact|Message|Thread {tenant: $tenant})
WHERE n.generation IS NOT NULL
RETURN DISTINCT n.generation AS generation

// name: remove_edges
// Remove some of the relations of a type that one rebuild wrote; counts them.
MATCH ()-[r:@TYPE {tenant: $tenant, generation: $generation}]->() WHERE r.id > ''
WITH r LIMIT $limit
DELETE r
RETURN count(*) AS count

// name: remove_nodes
// Remove some of the nodes of a label likewise, with what leads to them.
MATCH (n:@LABEL {tenant: $tenant, generation: $generation}) WHERE n.id > ''
WITH n LIMIT $limit
DETACH DELETE n
RETURN count(*) AS count

// name: forget_projection
// Remove the state of a tenant's projection.
MATCH (p:KeepwellProjection {tenant: $tenant}) DELETE p
