// The vector index of a space. Its label is written with the space's number: `KeepwellNear0` stands for it here, so an
// index has vectors of one tenant alone.

// name: vector_index
// The index of this name, if it answers.
SHOW VECTOR INDEXES YIELD name, state WHERE name = $index AND state = 'ONLINE' RETURN name

// name: nearest
// Vectors of the scope among so many of the nearest in the index.
CALL db.index.vector.queryNodes($index, $width, $vector) YIELD node AS v, score
WHERE @scope(v) AND v.space = $space
RETURN v.item, v.data

// name: loose_vectors
// Vectors of the scope that are in no index.
MATCH (v:KeepwellVector) WHERE @scope(v) AND v.loose = true AND v.space = $space
RETURN v.item, v.data

// name: loose_of_user
// Some vectors of a user that are in no index.
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.user_id = $user AND v.loose = true AND v.space = $space
RETURN v.item AS item, v.chunk AS chunk, v.data AS data LIMIT $limit

// name: put_near
// Bring vectors into the index; the procedure keeps them in half of the room that a list takes.
UNWIND $rows AS row
MATCH (v:KeepwellVector {tenant: $tenant, item: row.item, space: $space, chunk: row.chunk})
CALL db.create.setNodeVectorProperty(v, 'near', row.near)
SET v:KeepwellNear0
REMOVE v.loose

// name: note_large
// Note which users of threads have so many messages that their vectors are worth an index, where some are in none.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key IN $threads
WITH DISTINCT t.user_id AS user
CALL (user) { MATCH (o:KeepwellThread) WHERE @wall(o) AND o.user_id = user RETURN sum(o.message_count) AS messages }
WITH user WHERE messages >= $large
    AND EXISTS { MATCH (v:KeepwellVector) WHERE @wall(v) AND v.user_id = user AND v.loose = true }
MERGE (d:KeepwellDue {tenant: $tenant, kind: 'index', user_id: user, agent_id: '', run_id: '', item: ''})
ON CREATE SET d.attempts = 0, d.due_at = $at

// name: note_all_large
// Note the same of all users.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.user_id IS NOT NULL
WITH t.user_id AS user, sum(t.message_count) AS messages WHERE messages >= $large
MERGE (d:KeepwellDue {tenant: $tenant, kind: 'index', user_id: user, agent_id: '', run_id: '', item: ''})
ON CREATE SET d.attempts = 0, d.due_at = $at
