"""How the contract says that it was broken."""

__all__ = ["ContractBroken", "expect"]


class ContractBroken(AssertionError):
    """A Runner broke a sentence of the contract: `args` are the sentence, what was seen, wanted."""

    def __init__(self, sentence: str, got: str, wanted: str) -> None:
        super().__init__(sentence, got, wanted)

    def __str__(self) -> str:
        sentence, got, wanted = self.args
        return f"{sentence}\n  got: {got}\n  expected: {wanted}"


def expect(holds: bool, sentence: str, *, got: object, wanted: object) -> None:
    """Raise ContractBroken unless it holds."""
    if not holds:
        raise ContractBroken(sentence, str(got), str(wanted))
