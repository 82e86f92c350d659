"""The Runner's contract, as tests that the maker of a Runner subclasses.

Every sentence of `workflow.Runner` that can be seen from outside has a test here.  Two hooks are
needed, the others have defaults; `docs/contract.md` shows how::

    class TestMine(RunnerContract[MyRunner]):
        def make_runner(self): ...
        def run_until(self, runner, condition): ...
"""

from properties.contract.base import ROWS, R
from properties.contract.broken import ContractBroken
from properties.contract.handlers import Handlers
from properties.contract.registration import Registration
from properties.contract.streams import Streams
from properties.contract.tasks import Tasks
from properties.contract.trouble import Trouble

__all__ = ["ROWS", "ContractBroken", "RunnerContract"]


class RunnerContract(Registration[R], Streams[R], Tasks[R], Handlers[R], Trouble[R]):
    """Subclass it in a test module; the hooks stand in `properties.contract.base`."""
