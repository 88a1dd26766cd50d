from __future__ import annotations

import ast

from scripts.house import ROOT, circles, figures, imports, is_private, public_names, table


def test_circles_are_found_however_far_around_and_apart_from_each_other() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f"}, "f": {"e", "a"}}
    assert sorted(map(sorted, circles(arrows))) == [["a", "b", "c"], ["e", "f"]]


def test_imports_inside_of_functions_count_and_names_of_packages_do_not_where_a_module_is_meant() -> None:
    modules = {"p": ast.parse(""), "p.a": ast.parse("def f():\n    from p import b"), "p.b": ast.parse("import p.a")}
    assert imports(modules) == {"p": set(), "p.a": {"p.b"}, "p.b": {"p.a"}}


def test_public_names_and_private_modules() -> None:
    assert public_names(ast.parse("__all__ = ['a', 'b']\nc = ['d']")) == 2
    assert is_private("p._a")
    assert is_private("p._a.b")
    assert not is_private("p.__main__")


def test_the_table_of_this_tree() -> None:
    text = table({"here": figures(ROOT, traces=False)})
    assert "| circles (modules in them) | " in text
    assert text.startswith("|  | here |\n")
