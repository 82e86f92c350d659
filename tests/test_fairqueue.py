"""The fair queue: the cases G01 to G12, and a model that looks through everything each time."""

import pickle
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sim.fairqueue import FairQueue, Scope, ScopeExists, ScopeUnknown, Ticket


def queue_of(*paths: str) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for path in paths:
        queue.register(scope(path))
    return queue


def scope(path: str) -> Scope:
    return tuple(path.split("/")) if path else ()


def push(queue: FairQueue[str], *paths: str) -> None:
    """One value in each scope, named like it."""
    for path in paths:
        queue.push(scope(path), path)


def take(queue: FairQueue[str]) -> tuple[str, Ticket[str]]:
    popped = queue.pop()
    assert popped is not None
    return popped


def drain(queue: FairQueue[str], *, cost: int = 0) -> list[str]:
    values = []
    while (popped := queue.pop()) is not None:
        values.append(popped[0])
        queue.charge(popped[1].scope, cost)
    return values


def test_g01_with_a_cost_for_each_value_tenants_take_turns_and_so_do_actors() -> None:
    queue = queue_of("a/ua", "a/ub", "b/uc", "c/ud")
    push(queue, "a/ua", "a/ua", "a/ub", "b/uc", "b/uc", "c/ud")
    assert drain(queue, cost=1) == ["a/ua", "b/uc", "c/ud", "a/ub", "b/uc", "a/ua"]


@given(st.lists(st.sampled_from(["a", "a/b", "a/c/d", "e/f", ""]), max_size=20))
def test_g02_without_charges_values_come_out_as_they_went_in(paths: list[str]) -> None:
    queue = queue_of("a", "a/b", "a/c/d", "e/f")
    push(queue, *paths)
    assert drain(queue) == paths


def test_g03_scopes_exist_once_and_must_exist() -> None:
    queue = queue_of("a/b")
    for path in ["a/b", "a", ""]:  # the ones above were made on the way
        with pytest.raises(ScopeExists):
            queue.register(scope(path))
    queue.register(("a", "b", "c"))
    unknown = ("a", "x")
    calls: list[Callable[[], object]] = [
        lambda: queue.push(unknown, "v"),
        lambda: queue.charge(unknown, 1),
        lambda: queue.requeue(Ticket(unknown, "v", 0, 1)),
        lambda: queue.unregister(unknown),
    ]
    for call in calls:
        with pytest.raises(ScopeUnknown):
            call()
    assert len(queue) == 0


@pytest.mark.parametrize(("charged", "cost"), [("a/ka", 1), ("a/kb", -1)])
def test_g04_a_charge_or_a_refund_changes_who_is_next(charged: str, cost: int) -> None:
    queue = queue_of("a/ka", "a/kb")
    push(queue, "a/ka", "a/kb")
    queue.charge(scope(charged), cost)
    assert drain(queue) == ["a/kb", "a/ka"]


@pytest.mark.parametrize("paths", [("a", "a", "a"), ("a", "b", "c"), ("a/x", "b", "a/x")])
def test_g05_a_requeued_value_is_first_again(paths: tuple[str, ...]) -> None:
    queue = queue_of(*dict.fromkeys(paths))
    for path, value in zip(paths, ["first", "second", "third"], strict=True):
        queue.push(scope(path), value)
    value, ticket = take(queue)
    assert value == "first"
    queue.requeue(ticket)
    assert drain(queue) == ["first", "second", "third"]


@pytest.mark.parametrize("rest", [[], ["a"]])
def test_g06_requeue_and_refund_undo_a_pop_and_its_charge(rest: list[str]) -> None:
    queue = queue_of("a", "b")
    queue.push(("a",), "a1")
    push(queue, "b", *rest)
    _, ticket = take(queue)
    queue.charge(("a",), 1)
    queue.requeue(ticket)
    assert queue.peek() == ("b", Ticket(("b",), "b", 0, 2))
    queue.charge(("a",), -1)
    assert take(queue)[0] == "a1"


def test_g07_the_length_is_the_number_of_values() -> None:
    queue = queue_of("a/b", "a/c")
    assert queue.pop() is None
    assert len(queue) == 0
    push(queue, *["a/b", "a/c"] * 10)
    assert len(queue) == 20
    take(queue)
    assert len(queue) == 19
    queue.unregister(("a",))
    assert len(queue) == 0
    assert queue.pop() is None
    assert queue.peek() is None


@pytest.mark.parametrize(
    "ranks",
    [
        pytest.param((100, 150, 200), id="G08: lifted to the least of those at work"),
        pytest.param((200, 100, 150), id="G09: its own rank is higher"),
    ],
)
def test_a_scope_that_was_empty_has_no_credit(ranks: tuple[int, int, int]) -> None:
    queue = queue_of("A", "B", "C")
    for name, rank in zip("ABC", ranks, strict=True):
        queue.charge((name,), rank)
    push(queue, "B", "C", "A")
    assert drain(queue) == (["B", "A", "C"] if ranks[0] == 100 else ["B", "C", "A"])


def test_a_new_scope_starts_where_the_others_are() -> None:
    queue = queue_of("a")
    push(queue, "a", "a")
    queue.charge(("a",), 5)
    queue.register(("b",))
    push(queue, "b", "b")
    assert drain(queue, cost=1) == ["a", "b", "a", "b"]


def test_g10_an_empty_sibling_stays_and_an_empty_parent_goes() -> None:
    queue = queue_of("a/b", "a/c")
    queue.unregister(("a", "b"))
    push(queue, "a/c")
    assert drain(queue) == ["a/c"]
    queue.unregister(("a", "c"))
    with pytest.raises(ScopeUnknown):
        push(queue, "a")


def test_to_unregister_forgets_what_was_charged() -> None:
    queue = queue_of("a/b", "c")
    queue.charge(("a", "b"), 9)
    queue.unregister(("a", "b"))
    queue.register(("a", "b"))
    push(queue, "a/b", "c")
    assert drain(queue) == ["a/b", "c"]


def test_g11_values_and_scopes_may_stand_side_by_side_and_be_equal() -> None:
    queue = queue_of("a", "a/b")
    push(queue, "a", "a/b", "a", "a/b")
    assert drain(queue, cost=1) == ["a", "a/b", "a", "a/b"]


def test_g12_a_look_at_the_next_value_does_not_take_it() -> None:
    queue = queue_of("a")
    push(queue, "a")
    assert queue.peek() == queue.peek() == queue.pop()


def test_a_ticket_is_good_once() -> None:
    queue = queue_of("a")
    push(queue, "a")
    _, ticket = take(queue)
    queue.requeue(ticket)
    with pytest.raises(ValueError, match="expected one not in the queue"):
        queue.requeue(ticket)
    assert len(queue) == 1


def test_the_root_can_be_emptied_but_not_removed() -> None:
    queue = queue_of("a")
    push(queue, "a", "")
    queue.unregister(())
    assert len(queue) == 0
    push(queue, "")
    assert drain(queue) == [""]


@pytest.mark.parametrize("error", [ScopeExists(("a", "b")), ScopeUnknown(())])
def test_errors_say_which_scope_and_survive_pickling(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), copy.args, str(copy)) == (type(error), error.args, str(error))
    assert ("'a/b'" if error.args[0] else "the root") in str(error)


class Model:
    """The same queue, which looks through all values each time."""

    def __init__(self) -> None:
        self.ranks: dict[Scope, int] = {(): 0}
        self.values: list[tuple[Scope, int, int]] = []  # scope, rank, sequence
        self.pushed = 0

    def live(self, path: Scope) -> list[int]:
        """The ranks of what stands in a scope: its values, and the scopes that are not empty."""
        ranks = [rank for place, rank, _ in self.values if place == path]
        return ranks + [
            rank
            for name, rank in self.ranks.items()
            if name and name[:-1] == path and self.holds(name)
        ]

    def holds(self, path: Scope) -> bool:
        return any(place[: len(path)] == path for place, _, _ in self.values)

    def register(self, path: Scope) -> None:
        for end in range(1, len(path) + 1):
            name = path[:end]
            if name not in self.ranks:
                self.ranks[name] = min(self.live(name[:-1]), default=0)

    def unregister(self, path: Scope) -> None:
        self.values = [v for v in self.values if v[0][: len(path)] != path]
        for name in list(self.ranks):
            if name and name[: len(path)] == path:
                del self.ranks[name]
        for end in range(len(path) - 1, 0, -1):
            name = path[:end]
            if not self.holds(name) and not any(n[:-1] == name for n in self.ranks if n):
                del self.ranks[name]

    def push(self, path: Scope) -> None:
        self.pushed += 1
        rank = min(self.live(path), default=0)
        for end in range(len(path), 0, -1):
            name = path[:end]
            if not self.holds(name):
                self.ranks[name] = max(
                    self.ranks[name], min(self.live(name[:-1]), default=self.ranks[name])
                )
        self.values.append((path, rank, self.pushed))

    def key(self, value: tuple[Scope, int, int]) -> list[tuple[int, int]]:
        """What decides, from the root down: rank, and the earliest value that goes next."""
        place, rank, sequence = value
        scopes = [place[:end] for end in range(1, len(place) + 1)]
        return [*((self.ranks[name], self.next_below(name)) for name in scopes), (rank, sequence)]

    def next_below(self, path: Scope) -> int:
        entries = [(rank, seq) for place, rank, seq in self.values if place == path]
        entries += [
            (rank, self.next_below(name))
            for name, rank in self.ranks.items()
            if name and name[:-1] == path and self.holds(name)
        ]
        return min(entries)[1]

    def pop(self) -> tuple[Scope, int, int]:
        value = min(self.values, key=self.key)
        self.values.remove(value)
        return value


PATHS = st.sampled_from([("a",), ("a", "b"), ("a", "c"), ("a", "b", "d"), ("e",), ("e", "f")])


class AgainstTheModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue()
        self.model = Model()
        self.out: list[Ticket[int]] = []

    def known(self) -> list[Scope]:
        return list(self.model.ranks)

    @rule(path=PATHS)
    def register(self, path: Scope) -> None:
        if path in self.model.ranks:
            with pytest.raises(ScopeExists):
                self.queue.register(path)
        else:
            self.queue.register(path)
            self.model.register(path)

    @rule(path=PATHS)
    def unregister(self, path: Scope) -> None:
        if path in self.model.ranks:
            self.queue.unregister(path)
            self.model.unregister(path)
        else:
            with pytest.raises(ScopeUnknown):
                self.queue.unregister(path)

    @rule(data=st.data())
    def push(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.known()))
        self.model.push(path)
        self.queue.push(path, self.model.pushed)

    @rule(data=st.data(), cost=st.integers(-2, 5))
    def charge(self, data: st.DataObject, cost: int) -> None:
        path = data.draw(st.sampled_from(self.known()))
        self.queue.charge(path, cost)
        for end in range(1, len(path) + 1):
            self.model.ranks[path[:end]] += cost

    @precondition(lambda self: self.model.values)
    @rule()
    def pop(self) -> None:
        popped = self.queue.pop()
        assert popped is not None
        path, rank, sequence = self.model.pop()
        assert popped == (sequence, Ticket(path, sequence, rank, sequence))
        self.out.append(popped[1])

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.out))
        if ticket.scope not in self.model.ranks:
            with pytest.raises(ScopeUnknown):
                self.queue.requeue(ticket)
            return
        self.out.remove(ticket)
        self.queue.requeue(ticket)
        self.model.values.append((ticket.scope, ticket.rank, ticket.sequence))

    @invariant()
    def the_length_is_right(self) -> None:
        assert len(self.queue) == len(self.model.values)


AgainstTheModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgainstTheModel = AgainstTheModel.TestCase
