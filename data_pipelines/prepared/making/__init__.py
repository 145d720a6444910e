"""Making of shards from raw rows: the plan, and its work in this process, in several, or on a cluster."""
