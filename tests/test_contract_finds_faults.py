"""The contract finds faults: each of its tests fails a Runner that deserves it, and not all do."""

from typing import Any

import pytest
from contract_hooks import Inline, OnTheSimulatedCluster
from faulty_runners import FAULTY, inline

from properties.contract import RunnerContract
from sim.inline import InlineRunner

TESTS = [name for name in dir(RunnerContract) if name.startswith("test_")]


def failures(contract: type[RunnerContract[Any]]) -> list[str]:
    """The tests of a contract that fail, each run as pytest would."""
    failed = []
    for name in TESTS:
        case = contract()
        try:
            getattr(case, name)()
        except pytest.skip.Exception:
            continue
        except Exception:  # noqa: BLE001 - a faulty runner may raise anything
            failed.append(name)
        finally:
            case.close_all()
    return failed


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_runner_fails_the_tests_that_are_about_its_fault(name: str) -> None:
    failed = failures(FAULTY[name].contract)
    assert [test for test in FAULTY[name].found_by if test not in failed] == []
    assert len(failed) < len(TESTS) // 2, "the tests do not tell faults apart"


def test_every_test_of_the_contract_finds_a_fault() -> None:
    named = dict.fromkeys(test for faulty in FAULTY.values() for test in faulty.found_by)
    assert [test for test in TESTS if test not in named] == []
    assert [test for test in named if test not in TESTS] == []


@pytest.mark.parametrize("contract", [inline(InlineRunner), Inline, OnTheSimulatedCluster])
def test_a_runner_without_a_fault_fails_only_what_is_known(
    contract: type[RunnerContract[Any]],
) -> None:
    assert failures(contract) == [test for test in TESTS if test in contract.departures]


def test_a_departure_must_name_a_test() -> None:
    with pytest.raises(TypeError, match="got 'test_nothing', expected a test's name"):

        class _Wrong(Inline):
            departures = {"test_nothing": "no such test"}  # noqa: RUF012
