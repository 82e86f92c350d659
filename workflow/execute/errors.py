"""What can go wrong while a fragment runs: its task fails with it."""

__all__ = ["ExecutionError"]


class ExecutionError(Exception):
    """Rows that a fragment cannot work on, or a host that broke the order of calls.

    ``rule`` names what was broken (``max-query-series``, ``operand-types``, ``not-a-source``,
    ``source-over``, ``storage-column``), ``where`` the node.
    """

    def __init__(self, rule: str, where: str, message: str) -> None:
        super().__init__(rule, where, message)
        self.rule = rule
        self.where = where

    def __str__(self) -> str:
        return ": ".join(part for part in self.args if part)
