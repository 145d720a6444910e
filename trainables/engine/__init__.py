"""The engine, which trains any task and depends on no workload."""
