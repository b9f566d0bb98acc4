// Vectors that are in no vector index yet are found by user. What there is of them is in none.
CREATE INDEX keepwell_store_vector_loose IF NOT EXISTS FOR (n:KeepwellVector) ON (n.tenant, n.user_id, n.loose);
MATCH (v:KeepwellVector) CALL (v) { SET v.loose = true } IN TRANSACTIONS OF 10000 ROWS;

// Marks of what went said whose it was. They go; who holds a scope that was read before loads it anew.
MATCH (c:KeepwellTenant) SET c.pruned = coalesce(c.rev, 0);
MATCH (g:KeepwellGone) WHERE g.stripe IS NULL CALL (g) { DELETE g } IN TRANSACTIONS OF 10000 ROWS;
DROP INDEX keepwell_store_gone IF EXISTS;
CREATE INDEX keepwell_store_gone_rev IF NOT EXISTS FOR (n:KeepwellGone) ON (n.tenant, n.stripe, n.rev);
