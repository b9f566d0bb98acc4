// Threads and their messages.
// What is asked for in the order of an index names all of the index's properties: by the last alone, though the others
// are the same, Neo4j would sort everything that fits (measured: 3,820 reads for 20 neighbours where now there are 39).

// name: thread
// The exact owner's thread of that id.
MATCH (t:KeepwellThread) WHERE @owner(t) AND t.id = $id RETURN t {.*} AS thread

// name: thread_and_hits
// The exact owner's thread of that id, with its messages of these ids.
OPTIONAL MATCH (t:KeepwellThread) WHERE @owner(t) AND t.id = $id
RETURN t {.*} AS thread, COLLECT {
    MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.id IN $ids RETURN @message(m)
} AS messages

// name: threads_by_key
// The tenant's threads of these keys.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key IN $keys RETURN t {.*} AS thread

// name: thread_in_scope
// The scope's thread of that key.
MATCH (t:KeepwellThread) WHERE @scope(t) AND t.key = $key RETURN t {.*} AS thread

// name: threads_of_scope
// All threads of the scope.
MATCH (t:KeepwellThread) WHERE @scope(t) RETURN t {.*} AS thread

// name: threads_of_messages
// The threads of messages.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key IN $keys
WITH DISTINCT m.thread AS key
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key = key RETURN t {.*} AS thread

// name: page_updated_newest
// Threads of the scope by when they were updated, the newest first, after one.
MATCH (t:KeepwellThread) WHERE @scope(t)
    AND ($at IS NULL OR t.updated_at < $at OR (t.updated_at = $at AND t.key < $key))
RETURN t {.*} AS thread ORDER BY t.updated_at DESC, t.key DESC LIMIT $limit

// name: page_updated_oldest
// The same, the oldest first.
MATCH (t:KeepwellThread) WHERE @scope(t)
    AND ($at IS NULL OR t.updated_at > $at OR (t.updated_at = $at AND t.key > $key))
RETURN t {.*} AS thread ORDER BY t.updated_at, t.key LIMIT $limit

// name: page_created_newest
// Threads of the scope by when they were made, the newest first, after one.
MATCH (t:KeepwellThread) WHERE @scope(t)
    AND ($at IS NULL OR t.created_at < $at OR (t.created_at = $at AND t.key < $key))
RETURN t {.*} AS thread ORDER BY t.created_at DESC, t.key DESC LIMIT $limit

// name: page_created_oldest
// The same, the oldest first.
MATCH (t:KeepwellThread) WHERE @scope(t)
    AND ($at IS NULL OR t.created_at > $at OR (t.created_at = $at AND t.key > $key))
RETURN t {.*} AS thread ORDER BY t.created_at, t.key LIMIT $limit

// name: keep_threads
// Keep threads as they are.
UNWIND $rows AS row
MERGE (t:KeepwellThread {tenant: row.tenant, key: row.key})
SET t = row

// name: drop_threads
// Remove threads.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key IN $keys DETACH DELETE t

// name: give_thread
// Give the messages of a thread, with their vectors, to another owner.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.seq > 0
SET m += $to, m.rev = $rev
WITH m
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item = m.key
SET v += $to, v.rev = $rev

// name: newest
// The newest messages of a thread between bounds.
MATCH (t:KeepwellThread) WHERE @owner(t) AND t.id = $id
CALL (t) {
    MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.seq > $after AND m.seq < $before
        AND m.created_at >= $since AND m.created_at < $until
    RETURN m.seq AS seq, m.body AS body ORDER BY m.tenant DESC, m.thread DESC, m.seq DESC LIMIT $limit
}
RETURN body ORDER BY seq DESC

// name: oldest
// The oldest messages of a thread between bounds.
MATCH (t:KeepwellThread) WHERE @owner(t) AND t.id = $id
CALL (t) {
    MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.seq > $after AND m.seq < $before
        AND m.created_at >= $since AND m.created_at < $until
    RETURN m.seq AS seq, m.body AS body ORDER BY m.tenant, m.thread, m.seq LIMIT $limit
}
RETURN body ORDER BY seq

// name: around
// Messages of a thread by id, with their neighbours.
MATCH (t:KeepwellThread) WHERE @owner(t) AND t.id = $id
MATCH (h:KeepwellMessage) WHERE @wall(h) AND h.thread = t.key AND h.id IN $ids
WITH t, h, COLLECT {
    MATCH (b:KeepwellMessage) WHERE @wall(b) AND b.thread = t.key AND b.seq < h.seq
    RETURN [b.seq, b.body] ORDER BY b.tenant DESC, b.thread DESC, b.seq DESC LIMIT $before
} AS before, COLLECT {
    MATCH (a:KeepwellMessage) WHERE @wall(a) AND a.thread = t.key AND a.seq > h.seq
    RETURN [a.seq, a.body] ORDER BY a.tenant, a.thread, a.seq LIMIT $after
} AS after
UNWIND before + [[h.seq, h.body]] + after AS found
RETURN DISTINCT found[0] AS seq, found[1] AS body ORDER BY seq

// name: fetch
// Messages of the scope by key, with their neighbours and their thread.
UNWIND $keys AS key
MATCH (h:KeepwellMessage) WHERE @scope(h) AND h.key = key
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key = h.thread
RETURN h.key AS key, h.body AS body, t.id AS thread, t.user_id AS user_id, t.agent_id AS agent_id, t.run_id AS run_id,
    COLLECT {
        MATCH (b:KeepwellMessage) WHERE @wall(b) AND b.thread = t.key AND b.seq < h.seq
        RETURN b.body ORDER BY b.tenant DESC, b.thread DESC, b.seq DESC LIMIT $neighbours
    } AS before,
    COLLECT {
        MATCH (a:KeepwellMessage) WHERE @wall(a) AND a.thread = t.key AND a.seq > h.seq
        RETURN a.body ORDER BY a.tenant, a.thread, a.seq LIMIT $neighbours
    } AS after

// name: message_keys
// Numbers of messages of the scope by their ids.
UNWIND $ids AS id
MATCH (t:KeepwellThread) WHERE @scope(t)
MATCH (m:KeepwellMessage {tenant: t.tenant, thread: t.key, id: id})
RETURN t.key AS thread, m.id AS id, m.key AS key

// name: message_keys_in
// Numbers of messages of the scope by thread and id.
UNWIND $names AS name
MATCH (m:KeepwellMessage {tenant: $tenant, thread: name[0], id: name[1]}) WHERE @scope(m)
RETURN m.thread AS thread, m.id AS id, m.key AS key

// name: messages_by_id
// Messages of a thread by id, whole.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.id IN $ids RETURN @message(m) AS message

// name: messages_of_thread
// All messages of a thread, whole.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.seq > 0 RETURN @message(m) AS message

// name: places_of_threads
// All messages of threads, without what they say.
UNWIND $threads AS thread
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = thread AND m.seq > 0 RETURN @place(m) AS message

// name: places_by_key
// Messages by key, without what they say.
UNWIND $keys AS key
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key = key RETURN @place(m) AS message

// name: places_by_id
// Messages of a thread by id, without what they say.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.id IN $ids RETURN @place(m) AS message

// name: places_of_span
// What a claim has read of a thread, without what it says.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.seq > $after AND m.seq <= $upto
RETURN @place(m) AS message

// name: unformed
// One message of each thread that is still to be formed, those of these keys left aside.
UNWIND $threads AS thread
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key = thread
CALL (t) {
    MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.seq > t.formed AND m.parked_at IS NULL
        AND NOT m.key IN $but
    RETURN m LIMIT 1
    UNION
    MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.again = true AND m.parked_at IS NULL
        AND NOT m.key IN $but
    RETURN m LIMIT 1
}
RETURN @place(m) AS message

// name: unformed_new
// Messages of a thread after its watermark, whole.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.seq > $after AND m.parked_at IS NULL
RETURN @message(m) AS message ORDER BY m.tenant, m.thread, m.seq LIMIT $limit

// name: unformed_again
// Messages of a thread that are to be formed again, whole.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.again = true AND m.seq <= $upto
    AND m.parked_at IS NULL
RETURN @message(m) AS message ORDER BY m.seq

// name: said_before
// Messages of a thread right before one, the nearest first.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.seq < $seq
RETURN m.body AS body ORDER BY m.tenant DESC, m.thread DESC, m.seq DESC LIMIT $limit

// name: parked
// Messages of the tenant that could not be formed, without what they say.
MATCH (m:KeepwellMessage) WHERE @scope(m) AND m.parked_at IS NOT NULL
RETURN @place(m) AS message ORDER BY m.parked_at DESC LIMIT $limit

// name: threads_failing
// Threads of the scope that wait after a failure.
MATCH (t:KeepwellThread) WHERE @scope(t) AND t.attempts > 0 RETURN t {.*} AS thread

// name: threads_due
// Threads that are due, the longest waiting first.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.due_at IS NOT NULL AND (t.due_at <= $at OR ($early AND t.attempts = 0))
    AND (EXISTS {
        MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.seq > t.formed AND m.parked_at IS NULL
    } OR EXISTS {
        MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.again = true AND m.parked_at IS NULL
    })
RETURN t {.*} AS thread ORDER BY t.due_at LIMIT $limit

// name: claimable
// Threads (or that one) that are due, of owners that nobody holds, the longest waiting first.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.due_at IS NOT NULL AND (t.due_at <= $at OR ($early AND t.attempts = 0))
    AND ($thread IS NULL OR t.key = $thread)
    AND NOT EXISTS {
        MATCH (o:KeepwellOwner {tenant: $tenant, user_id: t.user_id, agent_id: t.agent_id, run_id: t.run_id})
        WHERE o.until >= $at
    }
    AND (EXISTS {
        MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.seq > t.formed AND m.parked_at IS NULL
    } OR EXISTS {
        MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.again = true AND m.parked_at IS NULL
    })
RETURN t {.key, .user_id, .agent_id, .run_id} AS thread ORDER BY t.due_at LIMIT $limit

// name: threads_waiting
// When all threads are due that have anything to be formed, and whether they failed.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.due_at IS NOT NULL
    AND (EXISTS {
        MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.seq > t.formed AND m.parked_at IS NULL
    } OR EXISTS {
        MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = t.key AND m.again = true AND m.parked_at IS NULL
    })
RETURN t.due_at AS due_at, t.error IS NOT NULL AS failed

// name: threads_erring
// Whether threads without anything to be formed have an error noted.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.user_id IS NOT NULL AND t.error IS NOT NULL RETURN count(t) AS count

// name: too_old
// Messages past the retention of their thread, owner or store, the oldest first.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.created_at < $newest
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key = m.thread
OPTIONAL MATCH (o:KeepwellOwner {tenant: $tenant, user_id: t.user_id, agent_id: t.agent_id, run_id: t.run_id})
WITH m, coalesce(t.retention, o.retention, $days) AS days
WHERE days IS NOT NULL AND m.created_at < $at - days * 86400000000.0
RETURN m.key AS key ORDER BY m.created_at LIMIT $limit

// name: least_retention
// The fewest days that anything is to be kept.
CALL () { MATCH (t:KeepwellThread) WHERE @wall(t) AND t.user_id IS NOT NULL AND t.retention IS NOT NULL RETURN min(t.retention) AS threads }
CALL () { MATCH (o:KeepwellOwner) WHERE @wall(o) AND o.user_id IS NOT NULL AND o.retention IS NOT NULL RETURN min(o.retention) AS owners }
UNWIND [threads, owners, $days] AS days
RETURN min(days) AS days

// name: make_messages
// Keep new messages.
UNWIND $rows AS row
MATCH (t:KeepwellThread {tenant: row.tenant, key: row.thread})
CREATE (m:KeepwellMessage)-[:IN]->(t)
SET m = row

// name: keep_messages
// Keep messages that were said anew.
UNWIND $rows AS row
MATCH (m:KeepwellMessage {tenant: row.tenant, key: row.key})
SET m = row

// name: note_messages
// Keep notes on messages: nothing that a reader sees.
UNWIND $rows AS row
MATCH (m:KeepwellMessage {tenant: $tenant, key: row.key})
SET m += row.notes

// name: drop_messages
// Remove messages with their vectors.
UNWIND $keys AS key
MATCH (m:KeepwellMessage {tenant: $tenant, key: key})
DETACH DELETE m

// name: drop_vectors
// Remove all vectors of messages or facts.
UNWIND $items AS item
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item = item
DETACH DELETE v

// name: keep_message_vectors
// Keep vectors of messages, in the place of those that were there.
UNWIND $rows AS row
MATCH (m:KeepwellMessage {tenant: row.tenant, key: row.item})
MERGE (v:KeepwellVector {tenant: row.tenant, item: row.item, space: row.space, chunk: row.chunk})
SET v = row
MERGE (v)-[:VECTOR_OF]->(m)

// name: keep_fact_vectors
// Keep vectors of facts, in the place of those that were there.
UNWIND $rows AS row
MATCH (f:KeepwellFact {tenant: row.tenant, number: -row.item})
MERGE (v:KeepwellVector {tenant: row.tenant, item: row.item, space: row.space, chunk: row.chunk})
SET v = row
MERGE (v)-[:VECTOR_OF]->(f)

// name: post
// Note that threads are posted up to their last message; keywords are found without it.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key IN $keys
SET t.turn = true
WITH t
SET t.posted = t.last_seq
REMOVE t.unposted, t.turn
RETURN count(t) AS count

// name: unposted
// Threads that wait to be posted, the longest waiting first.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.unposted = true
RETURN t.key AS key ORDER BY t.updated_at LIMIT $limit

// name: vectors_of_thread
// Vectors of all messages of a thread.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.seq > 0
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item = m.key AND ($space IS NULL OR v.space = $space)
RETURN v.item AS item, v.space AS space, v.chunk AS chunk, v.data AS data

// name: vector_places
// Which vectors messages have.
UNWIND $items AS item
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item = item
RETURN item, v.space AS space, v.chunk AS chunk

// name: copy_threads
// The tenant's threads in the order of their keys, after one.
MATCH (t:KeepwellThread) WHERE @wall(t) AND t.key > $after RETURN t {.*} AS thread ORDER BY t.key LIMIT $limit

// name: copy_messages
// A thread's messages in their order, after one.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = $thread AND m.seq > $after
RETURN @message(m) AS message ORDER BY m.tenant, m.thread, m.seq LIMIT $limit
