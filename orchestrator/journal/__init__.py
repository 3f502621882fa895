"""The journal: an append-only, hash-chained table of facts, the one place where anything is remembered."""
