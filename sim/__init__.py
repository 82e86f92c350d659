"""The simulated world: choices, virtual time, network, workers, faults."""
