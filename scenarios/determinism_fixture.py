"""A pytest fixture that runs something in several processes and compares the traces.

A `conftest.py` takes it with ``pytest_plugins = ["scenarios.determinism_fixture"]``.
"""

from collections.abc import Sequence
from typing import Protocol

import pytest

from scenarios.determinism import DeterminismReport, check_determinism, describe_determinism
from sim.scenario import Profile

__all__ = ["SameInEveryProcess", "same_in_every_process"]


class SameInEveryProcess(Protocol):
    """`check_determinism`, and the test fails if two traces differ."""

    def __call__(
        self,
        what: str,
        *,
        seed: int = 0,
        profile: Profile | None = None,
        workflow_type: str = "",
        pythons: Sequence[str] | None = None,
    ) -> DeterminismReport:
        """Return what was compared.  Raises as `check_determinism`."""
        ...


@pytest.fixture(scope="session")
def same_in_every_process() -> SameInEveryProcess:
    """Call it with what is to be the same: a scenario, a file, ``package.module:function``."""

    def check(
        what: str,
        *,
        seed: int = 0,
        profile: Profile | None = None,
        workflow_type: str = "",
        pythons: Sequence[str] | None = None,
    ) -> DeterminismReport:
        __tracebackhide__ = True
        report = check_determinism(
            what, seed=seed, profile=profile, workflow_type=workflow_type, pythons=pythons
        )
        if not report.same:
            pytest.fail("\n".join(describe_determinism(report)), pytrace=False)
        return report

    return check
