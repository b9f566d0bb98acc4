"""Making memories: pure decisions and prompts. It takes values and gives values; it never sees a store."""
