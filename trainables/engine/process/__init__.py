"""The process of a training worker: collectives, random states, memory, monitoring."""
