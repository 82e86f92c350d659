"""What an operator is: rows go in, rows come out, and at the end the rest."""

from workflow.execute.rows import Rows

__all__ = ["Operator", "Pass"]


class Operator:
    """One node at work.  Neither takes nor gives empty rows."""

    done = False  # whether no further row can change what it gives

    def push(self, rows: Rows) -> list[Rows]:
        """Take some rows; what comes out at once."""
        raise NotImplementedError

    def finish(self) -> list[Rows]:
        """All input is over; what was held back."""
        return []


class Pass(Operator):
    """Gives what it takes: Merge, Parallelize, and a ScanSet over its targets."""

    def push(self, rows: Rows) -> list[Rows]:
        """The same rows."""
        return [rows]
