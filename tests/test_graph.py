"""The graph of plans and tasks, against one of lists that does every step the long way."""

import pickle
from collections.abc import Callable, Iterable
from itertools import islice, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workflow import CycleError, Graph, GraphError, Plan, RootError
from workflow.plan import Filter, Merge, TopK


def graph_of(text: str) -> Graph[str]:
    """A graph from ``p>a p>b a>c d``: an edge or a lone node a word."""
    graph = Graph[str]()
    for word in text.split():
        ends = [graph.add(name) for name in word.split(">")]
        for parent, child in pairwise(ends):
            graph.add_edge(parent, child)
    return graph


WALK = "l>s s>f s>s2 s>p3 f>p1 s2>p1 s2>p2 p1>x p2>x p3>x"  # the fixture of semantics 2.3


def test_c01_an_empty_graph_has_neither_roots_nor_leaves_and_no_root() -> None:
    graph = Graph[str]()
    assert (graph.roots(), graph.leaves(), list(graph.preorder())) == ([], [], [])
    with pytest.raises(RootError) as refused:
        graph.root()
    assert refused.value.rule == "no-root"


def test_c02_a_lone_node_is_root_and_leaf() -> None:
    graph = graph_of("a")
    assert (graph.roots(), graph.leaves(), graph.root()) == (["a"], ["a"], "a")


@pytest.mark.parametrize(
    ("parent", "child", "message"),
    [
        ("x", "a", "add_edge(parent): got 'x', expected a node of the graph"),
        ("a", "x", "add_edge(child): got 'x', expected a node of the graph"),
        (None, "a", "add_edge(parent): got None, expected a node of the graph"),
        ("a", None, "add_edge(child): got None, expected a node of the graph"),
    ],
)
def test_c03_an_edge_needs_two_nodes_of_the_graph(
    parent: str | None, child: str | None, message: str
) -> None:
    graph = Graph[str | None]()
    graph.add("a")
    with pytest.raises(GraphError) as refused:
        graph.add_edge(parent, child)
    assert str(refused.value) == message
    assert (graph.children("a"), graph.parents("a"), len(graph)) == ([], [], 1)


def test_c04_nothing_cannot_be_put_into_a_graph() -> None:
    graph = Graph[str | None]()
    assert graph.add(None) is None
    assert len(graph) == 0
    graph.add("a")
    with pytest.raises(GraphError):
        graph.inject("a", None)
    assert list(graph) == ["a"]


def test_adding_a_node_again_keeps_its_edges() -> None:
    graph = graph_of("a>b")
    assert graph.add("a") == "a"
    assert (graph.children("a"), len(graph)) == (["b"], 2)


def test_c05_two_edges_from_one_node_make_one_root_and_two_leaves() -> None:
    graph = graph_of("m>s1 m>s2")
    assert (len(graph), graph.roots(), graph.leaves()) == (3, ["m"], ["s1", "s2"])


def test_c06_children_and_parents_stand_in_the_order_of_their_edges() -> None:
    graph = graph_of("a b c p")
    for child in "cab":
        graph.add_edge("p", child)
    graph.add_edge("b", "a")
    graph.add_edge("p", "c")  # there already: it does not move
    assert graph.children("p") == ["c", "a", "b"]
    assert graph.parents("a") == ["p", "b"]


@pytest.mark.parametrize(
    ("edges", "children"),
    [
        pytest.param("p>m m>c1 m>c2", ["c1", "c2"], id="C07"),
        pytest.param("p>a p>m p>b m>c", ["a", "b", "c"], id="C14: at the end"),
        pytest.param("p>m p>c m>c", ["c"], id="C15: no duplicate"),
    ],
)
def test_the_children_of_an_eliminated_node_go_to_its_parent(
    edges: str, children: list[str]
) -> None:
    graph = graph_of(edges)
    graph.eliminate("m")
    assert graph.children("p") == children
    assert [graph.parents(child) for child in children] == [["p"]] * len(children)
    assert "m" not in graph


def test_the_parents_of_an_eliminated_node_go_to_the_end_of_its_childrens() -> None:
    graph = graph_of("q>c p>m m>c r>c")
    graph.eliminate("m")
    assert graph.parents("c") == ["q", "r", "p"]


def test_an_eliminated_root_leaves_its_children_as_roots() -> None:
    graph = graph_of("m>a m>b")
    graph.eliminate("m")
    assert graph.roots() == ["a", "b"]


def test_c08_an_injected_node_takes_over_all_children() -> None:
    graph = graph_of("p>c1 p>c2 q>c1")
    assert graph.inject("p", "n") == "n"
    assert (graph.children("p"), graph.children("n")) == (["n"], ["c1", "c2"])
    assert (graph.parents("n"), graph.parents("c1"), graph.parents("c2")) == (
        ["p"],
        ["n", "q"],  # in the place where p was
        ["n"],
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda graph: graph.inject("p", "c"),
            "inject(node): got 'c', expected a node not yet in the graph",
            id="C09",
        ),
        pytest.param(
            lambda graph: graph.inject("x", "n"),
            "inject(parent): got 'x', expected a node of the graph",
            id="inject below an unknown node",
        ),
        pytest.param(
            lambda graph: graph.eliminate("x"),
            "eliminate(node): got 'x', expected a node of the graph",
            id="eliminate an unknown node",
        ),
        pytest.param(
            lambda graph: list(graph.walk("p", "x")),
            "walk(start): got 'x', expected a node of the graph",
            id="walk from an unknown node",
        ),
    ],
)
def test_a_refused_change_says_why_and_changes_nothing(
    call: Callable[[Graph[str]], object], message: str
) -> None:
    graph = graph_of("p>c")
    with pytest.raises(GraphError) as refused:
        call(graph)
    assert str(refused.value) == message
    assert (list(graph), graph.children("p"), graph.parents("c")) == (["p", "c"], ["c"], ["p"])


def test_c10_two_nodes_without_a_parent_are_named() -> None:
    with pytest.raises(RootError) as refused:
        graph_of("a b").root()
    assert refused.value.rule == "many-roots"
    assert str(refused.value) == "many-roots: got 2 nodes without a parent (a, b), expected 1"
    with pytest.raises(RootError, match=r"got 7 nodes .*\(a, b, c, d, e and 2 more\)"):
        graph_of("a b c d e f g").root()


def test_c11_a_walk_goes_depth_first_and_meets_each_node_once() -> None:
    graph = graph_of(WALK)
    assert list(graph.walk("l")) == ["l", "s", "f", "p1", "x", "s2", "p2", "p3"]
    assert list(graph.walk("l", order="post")) == ["x", "p1", "f", "p2", "s2", "p3", "s", "l"]
    assert list(graph.walk("f", "f", "s2")) == ["f", "p1", "x", "s2", "p2"]


def test_c12_a_walk_may_be_left_at_any_node_and_gone_on_with() -> None:
    walk = graph_of(WALK).walk("l")
    assert list(islice(walk, 3)) == ["l", "s", "f"]
    assert list(walk) == ["p1", "x", "s2", "p2", "p3"]


def test_c13_an_unknown_node_has_neither_children_nor_parents() -> None:
    graph = graph_of("a>b")
    assert (graph.children("x"), graph.parents("x")) == ([], [])


def test_the_lists_that_a_graph_gives_are_the_callers_own() -> None:
    graph = graph_of("a>b")
    graph.children("a").clear()
    graph.parents("b").clear()
    assert (graph.children("a"), graph.parents("b")) == (["b"], ["a"])


@pytest.mark.parametrize(
    ("edges", "path"),
    [
        ("a>a", "a > a"),
        ("r>a a>b b>c c>a", "a > b > c > a"),
        ("r>x r>a a>b x>b b>a", "b > a > b"),
        ("a>b c>d d>c", "c > d > c"),
    ],
)
def test_a_cycle_is_shown_from_a_node_back_to_it(edges: str, path: str) -> None:
    with pytest.raises(CycleError) as found:
        graph_of(edges).check_acyclic()
    assert str(found.value) == f"cycle: {path}"


def test_a_diamond_is_no_cycle() -> None:
    graph_of("a>b a>c b>d c>d").check_acyclic()


def test_a_graph_whose_every_node_has_a_parent_shows_its_cycle_when_asked_for_its_root() -> None:
    with pytest.raises(CycleError, match="a > b > a"):
        graph_of("a>b b>a").root()


def test_no_graph_is_too_deep_to_walk() -> None:
    graph = graph_of(" ".join(f"{i}>{i + 1}" for i in range(20_000)))
    graph.check_acyclic()
    assert next(iter(graph.walk("0", order="post"))) == "20000"
    assert sum(1 for _ in graph.edges()) == 20_000


def test_the_errors_of_a_graph_come_through_pickle() -> None:
    for error in (RootError("no-root", "got"), CycleError(("a", "b", "a")), GraphError("x")):
        twin = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(twin), str(twin), twin.rule) == (type(error), str(error), error.rule)


def test_the_names_that_a_clone_of_a_plan_gives_its_nodes_are_its_own() -> None:
    plan = Plan()
    top, filter_ = plan.add(TopK()), plan.add(Filter())
    plan.add_edge(top, filter_)
    plan.ids.update({top: 4, filter_: 5})
    twin = plan.clone()
    assert twin.name(filter_) == "node 5 (Filter)"
    merge = twin.add(Merge())
    twin.ids[merge] = 6
    twin.ids[top] = 7
    assert (plan.name(top), plan.name(merge)) == ("node 4 (TopK)", "Merge")


class Lists:
    """The same graph as lists, each step done by the words of its rule."""

    def __init__(self) -> None:
        self.nodes: list[int] = []
        self.children: dict[int, list[int]] = {}
        self.parents: dict[int, list[int]] = {}

    def add(self, node: int) -> None:
        if node not in self.nodes:
            self.nodes.append(node)
            self.children[node], self.parents[node] = [], []

    def add_edge(self, parent: int, child: int) -> None:
        if child not in self.children[parent]:
            self.children[parent].append(child)
            self.parents[child].append(parent)

    def eliminate(self, node: int) -> None:
        for parent in self.parents[node]:
            kept = [each for each in self.children[parent] if each != node]
            self.children[parent] = kept + [c for c in self.children[node] if c not in kept]
        for child in self.children[node]:
            kept = [each for each in self.parents[child] if each != node]
            self.parents[child] = kept + [p for p in self.parents[node] if p not in kept]
        self.nodes.remove(node)

    def inject(self, parent: int, node: int) -> None:
        self.add(node)
        for child in self.children[parent]:
            place = self.parents[child].index(parent)
            self.parents[child][place] = node
        self.children[node], self.children[parent] = self.children[parent], [node]
        self.parents[node] = [parent]

    def walk(self, starts: Iterable[int], post: bool) -> list[int]:
        out: list[int] = []
        seen: list[int] = []

        def visit(node: int) -> None:
            if node not in seen:
                seen.append(node)
                if not post:
                    out.append(node)
                for child in self.children[node]:
                    visit(child)
                if post:
                    out.append(node)

        for start in starts:
            visit(start)
        return out

    def edges(self) -> list[tuple[int, int]]:
        """Each edge once, after all of those below its child."""
        out: list[tuple[int, int]] = []
        seen: list[int] = []

        def visit(node: int) -> None:
            seen.append(node)
            for child in self.children[node]:
                if child not in seen:
                    visit(child)
                out.append((node, child))

        for node in self.nodes:
            if not self.parents[node]:
                visit(node)
        return out

    def leads_to(self, start: int, end: int) -> bool:
        return end in self.walk([start], post=False)


def assert_same(graph: Graph[int], lists: Lists) -> None:
    assert sorted(graph) == sorted(lists.nodes)
    for node in graph:
        assert graph.children(node) == lists.children[node]
        assert graph.parents(node) == lists.parents[node]
        for child in graph.children(node):  # mirror images
            assert node in graph.parents(child)
        for parent in graph.parents(node):
            assert node in graph.children(parent)
    roots = [node for node in lists.nodes if not lists.parents[node]]
    assert graph.roots() == roots
    assert graph.leaves() == [node for node in lists.nodes if not lists.children[node]]
    assert list(graph.preorder()) == lists.walk(roots, post=False)
    assert list(graph.walk(*roots, order="post")) == lists.walk(roots, post=True)
    assert list(graph.edges()) == lists.edges()
    graph.check_acyclic()


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "edge", "edge", "edge", "edge", "eliminate", "inject", "clone"]),
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    max_size=40,
)


@given(steps)
@example([("add", 0, 0)] * 4 + [("edge", 0, 1), ("edge", 1, 2), ("edge", 0, 2), ("clone", 0, 0)])
def test_a_graph_does_what_one_of_lists_does(steps: list[tuple[str, int, int]]) -> None:
    graph, lists = Graph[int](), Lists()
    left_behind: list[tuple[Graph[int], list[object]]] = []
    for number, (step, a, b) in enumerate(steps):
        one = lists.nodes[a % len(lists.nodes)] if lists.nodes else None
        two = lists.nodes[b % len(lists.nodes)] if lists.nodes else None
        if step == "add" or one is None or two is None:
            graph.add(number)
            lists.add(number)
        elif step == "edge":
            if not lists.leads_to(two, one):
                graph.add_edge(one, two)
                lists.add_edge(one, two)
        elif step == "eliminate":
            graph.eliminate(one)
            lists.eliminate(one)
        elif step == "inject":
            graph.inject(one, number)
            lists.inject(one, number)
        else:
            left_behind.append((graph, snapshot(graph)))
            graph = graph.clone()
        assert_same(graph, lists)
    for original, before in left_behind:  # whatever was done to their clones
        assert snapshot(original) == before


def snapshot(graph: Graph[int]) -> list[object]:
    return [(node, graph.children(node), graph.parents(node)) for node in graph]


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_a_cycle_is_found_if_and_only_if_there_is_one(edges: set[tuple[int, int]]) -> None:
    graph = Graph[int]()
    for node in range(7):
        graph.add(node)
    for parent, child in sorted(edges):
        graph.add_edge(parent, child)
    left = sorted(edges)
    # Take out edges into leaves until none is left: what remains is a cycle.
    while True:
        sources = [parent for parent, _ in left]
        kept = [(parent, child) for parent, child in left if child in sources]
        if kept == left:
            break
        left = kept
    if not left:
        graph.check_acyclic()
        return
    with pytest.raises(CycleError) as found:
        graph.check_acyclic()
    path = [int(str(name)) for name in found.value.path]
    assert path[0] == path[-1]
    assert all(edge in edges for edge in pairwise(path))
