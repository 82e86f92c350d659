"""The drawing of a tree, to the character, and its bound."""

import pytest

from workflow import Plan, plan_to_text, tree
from workflow.plan import Filter, Merge
from workflow.tree import Tree, TreeTooLarge, render

# J02
J02 = """\
root
├── child <c1> one=(a) two=(b, c)
├── grand
│   │   ├── @first n=1
│   │   │   ├── x
│   │   │   ├── y
│   │   │   │   └── deep
│   │   │   └── z
│   │   └── @second
│   ├── left
│   └── right
│           └── @only list=()
└── last
"""


def test_j02_comments_stand_before_children_and_one_level_deeper() -> None:
    first = Tree(
        "@first",
        (("n", "1"),),
        children=[Tree("x"), Tree("y", children=[Tree("deep")]), Tree("z")],
    )
    right = Tree("right", comments=[Tree("@only", (("list", ()),))])
    drawn = render(
        Tree(
            "root",
            children=[
                Tree("child", (("one", ("a",)), ("two", ("b", "c"))), id="c1"),
                Tree("grand", comments=[first, Tree("@second")], children=[Tree("left"), right]),
                Tree("last"),
            ],
        )
    )
    assert drawn == J02


def test_comments_of_comments_go_on_below_their_own() -> None:
    note = Tree("@a", comments=[Tree("@b", children=[Tree("c")])], children=[Tree("d")])
    assert render(Tree("r", comments=[note, Tree("@e")])) == (
        "r\n    ├── @a\n    │   │   └── @b\n    │   │       └── c\n    │   └── d\n    └── @e\n"
    )


def ladder(steps: int) -> Plan:
    """A chain of diamonds, which prints 2^steps times as often at its end."""
    plan = Plan()
    top = plan.add(Merge())
    for _ in range(steps):
        sides, bottom = (plan.add(Filter()), plan.add(Filter())), plan.add(Merge())
        for side in sides:
            plan.add_edge(top, side)
            plan.add_edge(side, bottom)
        top = bottom
    return plan


def test_a_ladder_of_diamonds_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree, "MAX_LINES", 1_000)
    with pytest.raises(TreeTooLarge) as refused:
        plan_to_text(ladder(200))  # 2^200 lines, from 601 nodes
    assert str(refused.value) == (
        "printed form: more than 1,000 lines, since nodes with several parents print under each"
        " of them; the JSON form stays small"
    )


def test_a_drawing_may_have_as_many_lines_as_the_bound_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = plan_to_text(ladder(3)).count("\n")
    assert lines == 1 + 2 * 2 + 4 * 2 + 8 * 2
    monkeypatch.setattr(tree, "MAX_LINES", lines)
    assert plan_to_text(ladder(3)).count("\n") == lines
    monkeypatch.setattr(tree, "MAX_LINES", lines - 1)
    with pytest.raises(TreeTooLarge):
        plan_to_text(ladder(3))


def test_no_tree_is_too_deep_to_draw() -> None:
    root = node = Tree("0")
    for depth in range(1, 3_000):
        node.children.append(Tree(str(depth)))
        node = node.children[0]
    assert render(root).splitlines()[-1].endswith("└── 2999")
