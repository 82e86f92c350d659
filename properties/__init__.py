"""What must hold: generators of cases and monitors of runs."""
