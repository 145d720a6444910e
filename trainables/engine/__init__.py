"""The engine: trains any task; knows no workload."""
