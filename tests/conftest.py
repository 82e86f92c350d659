"""How hard the property tests try: HYPOTHESIS_PROFILE names a profile."""

import os

from hypothesis import settings

from scenarios.determinism_fixture import same_in_every_process

__all__ = ["same_in_every_process"]  # a fixture

# No deadlines: a slow machine is no failure.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True, database=None)
settings.register_profile("nightly", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
