// The projection of a record's graph. A node's id is unique in its tenant and generation; a generation is what one
// rebuild wrote. Absent ids of an owner are '', because a constraint lets nulls repeat.

CREATE CONSTRAINT keepwell_projection IF NOT EXISTS
FOR (p:KeepwellProjection) REQUIRE p.tenant IS UNIQUE;

CREATE CONSTRAINT keepwell_entity IF NOT EXISTS
FOR (n:Entity) REQUIRE (n.tenant, n.generation, n.id) IS UNIQUE;

CREATE CONSTRAINT keepwell_fact IF NOT EXISTS
FOR (n:Fact) REQUIRE (n.tenant, n.generation, n.id) IS UNIQUE;

CREATE CONSTRAINT keepwell_message IF NOT EXISTS
FOR (n:Message) REQUIRE (n.tenant, n.generation, n.id) IS UNIQUE;

CREATE CONSTRAINT keepwell_thread IF NOT EXISTS
FOR (n:Thread) REQUIRE (n.tenant, n.generation, n.id) IS UNIQUE;

CREATE CONSTRAINT keepwell_related IF NOT EXISTS
FOR ()-[r:RELATED]-() REQUIRE (r.tenant, r.generation, r.id) IS UNIQUE;

CREATE CONSTRAINT keepwell_mentions IF NOT EXISTS
FOR ()-[r:MENTIONS]-() REQUIRE (r.tenant, r.generation, r.id) IS UNIQUE;

// The scope's things of each kind.
CREATE INDEX keepwell_entity_owner IF NOT EXISTS
FOR (n:Entity) ON (n.tenant, n.user_id);

CREATE INDEX keepwell_fact_owner IF NOT EXISTS
FOR (n:Fact) ON (n.tenant, n.user_id);

CREATE INDEX keepwell_message_owner IF NOT EXISTS
FOR (n:Message) ON (n.tenant, n.user_id);

CREATE FULLTEXT INDEX keepwell_names IF NOT EXISTS
FOR (n:Entity) ON EACH [n.name, n.aliases];

CREATE FULLTEXT INDEX keepwell_texts IF NOT EXISTS
FOR (n:Fact) ON EACH [n.text];
