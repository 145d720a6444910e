"""A sixth workload, as small as one can be: a line through noisy points. It shows what adding a workload takes."""
