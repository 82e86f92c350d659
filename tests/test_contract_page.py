"""What `docs/contract.md` says is so."""

import inspect
import re
from pathlib import Path

import pytest

from properties.contract import RunnerContract
from properties.contract.base import ContractBase
from sim.inline import InlineRunner

pytest_plugins = "pytester"

PAGE = (Path(__file__).parent.parent / "docs/contract.md").read_text(encoding="utf-8")
EXAMPLE, KNOWN = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Judged:
    """pytest's account of one module."""

    def __init__(self, pytester: pytest.Pytester, source: str) -> None:
        pytester.makepyfile(source)
        # In a process of its own: fixtures and marks of this run stay out of it.
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")
        self.outcomes = result.parseoutcomes()


def test_the_runner_shown_keeps_the_contract(pytester: pytest.Pytester) -> None:
    tests = [name for name in dir(RunnerContract) if name.startswith("test_")]
    outcomes = Judged(pytester, EXAMPLE).outcomes
    assert outcomes == {"passed": len(tests) - 8, "skipped": 8}


def test_a_departure_that_is_none_fails(pytester: pytest.Pytester) -> None:
    outcomes = Judged(pytester, EXAMPLE + KNOWN).outcomes
    assert outcomes["failed"] == 1


def test_every_hook_is_described_with_its_parameters() -> None:
    shown = re.findall(r"^\| `(\w+)\((.*?)\)` \|", PAGE, re.MULTILINE)
    assert len(shown) == 9
    for name, parameters in shown:
        hook = getattr(ContractBase, name)
        assert [*inspect.signature(hook).parameters][1:] == [p for p in parameters.split(", ") if p]
        assert hook.__doc__


def test_the_hooks_without_a_default_are_the_first_two() -> None:
    hooks: ContractBase[InlineRunner] = ContractBase()
    with pytest.raises(TypeError, match="ContractBase has no method make_runner"):
        hooks.make_runner()
    with pytest.raises(TypeError, match="ContractBase has no method run_until"):
        hooks.run_until(InlineRunner(), lambda: True)


def test_every_file_that_the_page_names_is_there() -> None:
    for name in re.findall(r"`(\w+/\w+\.py)`", PAGE):
        assert (Path(__file__).parent.parent / name).is_file()
