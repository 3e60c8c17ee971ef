"""The product's own modules, read from a checkout: their imports, docstrings, functions and constructors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PRODUCT = ("healthcode", "trust_registry", "province_node", "gateway")
_GENERATED = "healthcode/v1"
# an argument of one of these types is a value; an argument of any other type is a collaborator
_PLAIN = frozenset(
    {
        "str",
        "int",
        "float",
        "bool",
        "bytes",
        "Path",
        "None",
        "Sequence",
        "Mapping",
        "frozenset",
        "tuple",
        "list",
    }
)


@dataclass(frozen=True, slots=True)
class Module:
    """One hand-written module. `path` is relative to the checkout."""

    path: Path
    tree: ast.Module
    lines: int

    @property
    def name(self) -> str:
        """The dotted name; a package's is that of its folder."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def folder(self) -> str:
        return self.path.parent.as_posix()

    @property
    def is_entry(self) -> bool:
        """Whether this is `__init__` or `__main__`, which no limit counts."""
        return self.path.stem in {"__init__", "__main__"}

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""


def read_modules(root: Path) -> list[Module]:
    """Every hand-written module of the product below `root`, in order of path."""
    found = []
    for top in PRODUCT:
        for path in sorted((root / top).rglob("*.py")):
            relative = path.relative_to(root)
            if not relative.as_posix().startswith(_GENERATED):
                text = path.read_text(encoding="utf-8")
                found.append(Module(relative, ast.parse(text), text.count("\n")))
    return found


def imports(module: Module, names: frozenset[str]) -> frozenset[str]:
    """Which of the modules `names` a module imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return frozenset(found & names) - {module.name}


def definitions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Every class and function, nested ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def docstrings(module: Module) -> Iterator[str]:
    """The docstrings of a module, its classes and its functions."""
    for node in (module.tree, *definitions(module)):
        yield ast.get_docstring(node) or ""


def collaborators(module: Module) -> Iterator[tuple[str, int]]:
    """(class, how many arguments of its `__init__` are objects or callables, not plain values)."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                arguments = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs][1:]
                yield node.name, sum(not _is_plain(argument.annotation) for argument in arguments)


def _is_plain(annotation: ast.expr | None) -> bool:
    if annotation is None:
        return True
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    return names <= _PLAIN
