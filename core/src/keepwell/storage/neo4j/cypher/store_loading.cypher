// What a recall loads, and vectors: what is due, what is kept, and which space is in use.

// name: load_messages
// Messages of the scope that were written after a revision.
MATCH (m:KeepwellMessage) WHERE @scope(m) AND m.rev > $since
RETURN m.key, m.thread, m.seq, m.created_at, m.recorded_at, m.terms, m.actor, m.signals

// name: load_facts
// Versions of the scope's facts that were written after a revision.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.rev > $since
RETURN f.number, f.id, f.valid_from, f.recorded_at, f.retired_at, f.reopened, f.terms, f.subject, f.signals

// name: load_vectors
// Vectors of the scope that were kept after a revision.
MATCH (v:KeepwellVector) WHERE @scope(v) AND v.rev > $since AND v.space = $space
RETURN v.item, v.data

// name: load_vectors_of
// Vectors of messages and facts.
UNWIND $items AS item
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item = item AND v.space = $space
RETURN v.item, v.data

// name: load_gone
// What went after a revision from users with these numbers; who does not hold it has nothing to let go of.
MATCH (g:KeepwellGone) WHERE @wall(g) AND g.stripe IN $stripes AND g.rev > $since
RETURN DISTINCT g.key AS key

// name: weigh
// How much a scope holds.
CALL () { MATCH (m:KeepwellMessage) WHERE @scope(m) AND m.rev > 0 RETURN count(m) AS messages, coalesce(sum(m.length), 0) AS words }
CALL () { MATCH (f:KeepwellFact) WHERE @scope(f) AND f.rev > 0 AND f.stands = true RETURN count(f) AS facts, coalesce(sum(f.length), 0) AS said }
RETURN messages + facts AS messages, words + said AS length

// name: labels_of_messages
// Metadata of the scope's messages that have any.
MATCH (m:KeepwellMessage) WHERE @scope(m) AND m.rev > 0 AND m.labels IS NOT NULL RETURN m.key, m.labels

// name: labels_of_facts
// Metadata of all versions of the scope's facts that have any.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.rev > 0 AND f.metadata <> '{}' RETURN -f.number, f.metadata

// name: keys_of_scope
// Numbers of everything in the scope.
MATCH (m:KeepwellMessage) WHERE @scope(m) AND m.rev > 0 RETURN m.key AS key
UNION ALL
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.rev > 0 RETURN -f.number AS key

// name: spaces
// The tenant's spaces.
MATCH (s:KeepwellSpace) WHERE @wall(s) AND s.key IS NOT NULL RETURN s.key AS key, s.model AS model, s.dimension AS dimension

// name: make_space
// Keep a space.
CREATE (s:KeepwellSpace {tenant: $tenant, user_id: '', agent_id: '', run_id: '', key: $key, model: $model,
    dimension: $dimension})

// name: activate
// Make a space the one in use.
MATCH (c:KeepwellTenant {tenant: $tenant}) SET c.active = $key

// name: behind
// Whether anything lacks a vector of a space.
RETURN EXISTS {
    MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key > 0 AND m.length > 0
        AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: m.key}) WHERE v.space = $space }
} OR EXISTS {
    MATCH (f:KeepwellFact) WHERE @wall(f) AND f.stands = true AND f.length > 0
        AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: -f.number}) WHERE v.space = $space }
} AS behind

// name: drop_other_spaces
// Remove all spaces but one.
MATCH (s:KeepwellSpace) WHERE @wall(s) AND s.key <> $space DELETE s

// name: drop_other_vectors
// Remove vectors of all spaces but one.
MATCH (v:KeepwellVector) WHERE @wall(v) AND v.item IS NOT NULL AND v.space <> $space DETACH DELETE v

// name: see_all
// Note that all messages were looked at that have nothing to embed, or have it embedded.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.waits = true
    AND (m.length = 0 OR EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: m.key}) WHERE v.space = $space })
REMOVE m.waits

// name: see
// Note that the messages of spans were looked at.
UNWIND $rows AS row
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.thread = row.thread AND m.seq >= row.first AND m.seq <= row.last
REMOVE m.waits

// name: embeddable_messages
// Messages that vectors are for, as they are now.
UNWIND $items AS item
MATCH (m:KeepwellMessage {tenant: $tenant, key: item})
RETURN m.key AS item, m.user_id AS user_id, m.agent_id AS agent_id, m.run_id AS run_id, m.rev AS rev,
    m.recorded_at AS recorded_at, m.found_after AS found_after

// name: embeddable_facts
// Standing versions that vectors are for.
UNWIND $items AS item
MATCH (f:KeepwellFact {tenant: $tenant, number: -item}) WHERE f.stands = true
RETURN item, f.user_id AS user_id, f.agent_id AS agent_id, f.run_id AS run_id

// name: due_texts
// Messages that nobody looked at for the space in use, oldest threads first. The index is named: where threads are few
// and messages many, the planner would look through everybody's threads.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.waits = true
MATCH (t:KeepwellThread) USING INDEX t:KeepwellThread(tenant, key) WHERE @wall(t) AND t.key = m.thread
WITH m, t ORDER BY t.updated_at, t.key, m.seq LIMIT $limit
RETURN m.key AS key, m.thread AS thread, m.seq AS seq, m.body AS body, m.rev AS rev,
    m.length > 0 AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: m.key}) WHERE v.space = $space } AS lacks

// name: all_texts
// The same for a space that is not in use: nobody looked at anything.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key > 0
MATCH (t:KeepwellThread) USING INDEX t:KeepwellThread(tenant, key) WHERE @wall(t) AND t.key = m.thread
WITH m, t ORDER BY t.updated_at, t.key, m.seq LIMIT $limit
RETURN m.key AS key, m.thread AS thread, m.seq AS seq, m.body AS body, m.rev AS rev,
    m.length > 0 AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: m.key}) WHERE v.space = $space } AS lacks

// name: missing_messages
// Messages without a vector of a space, by number, after one.
MATCH (m:KeepwellMessage) WHERE @wall(m) AND m.key > $after AND m.length > 0
    AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: m.key}) WHERE v.space = $space }
RETURN m.key AS key, m.thread AS thread, m.seq AS seq, m.body AS body, m.rev AS rev ORDER BY m.key LIMIT $limit

// name: missing_facts
// Standing versions without a vector of a space, by number, after one.
MATCH (f:KeepwellFact) WHERE @wall(f) AND f.number > $after AND f.stands = true AND f.length > 0
    AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: -f.number}) WHERE v.space = $space }
RETURN f.number AS number, f.id AS id, f.text AS text ORDER BY f.number LIMIT $limit

// name: facts_without_vectors
// Which of these facts stand and lack a vector of a space.
MATCH (f:KeepwellFact) WHERE @wall(f) AND f.id IN $ids AND f.stands = true AND f.length > 0
    AND NOT EXISTS { MATCH (v:KeepwellVector {tenant: $tenant, item: -f.number}) WHERE v.space = $space }
RETURN f.number AS number, f.id AS id, f.text AS text

// name: messages_with_words
// Messages of the scope that have one of these words.
MATCH (m:KeepwellMessage) WHERE @scope(m) AND m.rev > 0
    AND any(term IN $terms WHERE ' ' + m.terms + ' ' CONTAINS term)
RETURN m.key, m.thread, m.seq, m.created_at, m.recorded_at, m.terms, m.actor, m.signals, m.labels

// name: facts_with_words
// Standing facts of the scope that have one of these words.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.rev > 0 AND f.stands = true
    AND any(term IN $terms WHERE ' ' + f.terms + ' ' CONTAINS term)
RETURN f.number, f.id, f.valid_from, f.recorded_at, f.retired_at, f.reopened, f.terms, f.subject, f.signals, f.metadata

// name: messages_by_key
// Messages of the scope by number.
UNWIND $keys AS key
MATCH (m:KeepwellMessage {tenant: $tenant, key: key}) WHERE @scope(m)
RETURN m.key, m.thread, m.seq, m.created_at, m.recorded_at, m.terms, m.actor, m.signals, m.labels

// name: standing_by_number
// Standing facts of the scope by number.
UNWIND $numbers AS number
MATCH (f:KeepwellFact {tenant: $tenant, number: number}) WHERE @scope(f) AND f.stands = true
RETURN f.number, f.id, f.valid_from, f.recorded_at, f.retired_at, f.reopened, f.terms, f.subject, f.signals, f.metadata

// name: newest_messages
// The newest messages of the scope, within bounds.
MATCH (m:KeepwellMessage) WHERE @scope(m) AND m.rev > 0
    AND ($since IS NULL OR m.created_at >= $since) AND ($until IS NULL OR m.created_at < $until)
    AND ($as_of IS NULL OR m.recorded_at <= $as_of) AND ($thread IS NULL OR m.thread = $thread)
WITH m ORDER BY m.created_at DESC LIMIT $limit
RETURN m.key, m.thread, m.seq, m.created_at, m.recorded_at, m.terms, m.actor, m.signals, m.labels

// name: newest_facts
// The newest standing facts of the scope, within bounds.
MATCH (f:KeepwellFact) WHERE @scope(f) AND f.rev > 0 AND f.stands = true
WITH f, coalesce(f.valid_from, f.recorded_at) AS at
WHERE ($since IS NULL OR at >= $since) AND ($until IS NULL OR at < $until) AND ($as_of IS NULL OR f.recorded_at <= $as_of)
WITH f, at ORDER BY at DESC LIMIT $limit
RETURN f.number, f.id, f.valid_from, f.recorded_at, f.retired_at, f.reopened, f.terms, f.subject, f.signals, f.metadata

// name: next_to
// The messages right before and after those that lie at these places.
UNWIND $places AS place
CALL (place) {
    MATCH (m:KeepwellMessage) WHERE m.tenant = $tenant AND m.thread = place[0] AND m.seq < place[1]
    RETURN m ORDER BY m.tenant DESC, m.thread DESC, m.seq DESC LIMIT 1
    UNION ALL
    MATCH (m:KeepwellMessage) WHERE m.tenant = $tenant AND m.thread = place[0] AND m.seq > place[1]
    RETURN m ORDER BY m.tenant, m.thread, m.seq LIMIT 1
}
WITH DISTINCT m WHERE @scope(m)
RETURN m.key, m.thread, m.seq, m.created_at, m.recorded_at, m.terms, m.actor, m.signals, m.labels
