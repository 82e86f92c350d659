"""How hard the property tests try: HYPOTHESIS_PROFILE names a profile."""

import os

from hypothesis import settings

from scenarios.profiles import register_profiles

register_profiles()
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
