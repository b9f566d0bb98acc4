// Embeddings of entities. The index has no dimension of its own: it takes those of whichever model is in use.

CREATE VECTOR INDEX keepwell_meanings IF NOT EXISTS
FOR (n:Entity) ON (n.embedding)
OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine'}};
