"""How hard property tests try: profiles of Hypothesis, `dev`, `ci` and `nightly`.

`ci` is Hypothesis's own, without a deadline, a database or chance.  A profile that a project has
registered itself stays as it is.
"""

from typing import Final

from hypothesis import errors, settings

__all__ = ["register_profiles"]

_NIGHTLY: Final = 5_000  # examples


def register_profiles() -> None:
    """Register those profiles that are not there yet.  None of them has a deadline.

    A slow machine is no failure, and the last example of a failing test takes seconds to reduce.
    """
    for name, profile in {
        "dev": settings(deadline=None),
        "ci": settings(deadline=None, derandomize=True, print_blob=True, database=None),
        "nightly": settings(deadline=None, max_examples=_NIGHTLY, print_blob=True),
    }.items():
        try:
            settings.get_profile(name)
        except errors.InvalidArgument:
            settings.register_profile(name, profile)
