// name: edges
// The relations of entities, both ways, the latest of each first; the scope's, and where dates are asked for, true then.
MATCH (p:KeepwellProjection {tenant: $tenant})
UNWIND $ids AS id
MATCH (a:Entity {tenant: $tenant, generation: p.generation, id: id}) WHERE @scope(a)
CALL (a) {
    MATCH (a)-[r:RELATED]-(b:Entity)
    WHERE @scope(r) AND @scope(b) AND b.mark IS NOT NULL
        AND ($at IS NULL OR (coalesce(r.valid_from <= $at, true) AND coalesce(r.valid_to > $at, true)))
    RETURN r, b ORDER BY r.recorded_at DESC LIMIT $fan
}
RETURN collect([r.id, r.predicate, b.id, b.name, r.grounds, startNode(r).id, endNode(r).id,
    r.recorded_at.epochSeconds * 1000000 + r.recorded_at.microsecond]) AS rows

// name: texts
// The texts that name entities, the newest of each: messages, and facts that are held.
MATCH (p:KeepwellProjection {tenant: $tenant})
UNWIND $ids AS id
MATCH (a:Entity {tenant: $tenant, generation: p.generation, id: id}) WHERE @scope(a)
CALL (a) {
    MATCH (text)-[m:MENTIONS]->(a)
    WHERE @scope(m)
    WITH text, m ORDER BY toInteger(m.id) DESC LIMIT $each
    WITH text, m WHERE text:Message OR (text.version = m.fact_version AND NOT text.reopened)
    RETURN CASE WHEN text:Message THEN toInteger(text.id) ELSE -text.number END AS key,
        m.at.epochSeconds * 1000000 + m.at.microsecond AS at
}
RETURN collect([a.id, key, at]) AS rows

// name: held
// The facts of these that are held, with their numbers.
MATCH (p:KeepwellProjection {tenant: $tenant})
UNWIND $ids AS id
MATCH (f:Fact {tenant: $tenant, generation: p.generation, id: id}) WHERE @scope(f) AND NOT f.reopened
RETURN collect([f.id, f.version, f.number]) AS rows
