"""The flow: probability path, coupling, velocity network, solvers, guidance."""
