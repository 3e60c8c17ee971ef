"""Measures the structure of the product and names what breaks a rule of CONTRIBUTING.md."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.house.source import Module, collaborators, definitions, docstrings, imports, read_modules

MAX_MODULES = 12
MAX_DOCSTRING_LINES = 3
MAX_COLLABORATORS = 6
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 80

# house rule: plain English; these say nothing that "is valid", "is", "again" or "if" would not
_IDIOM = re.compile(
    r"\b(?:holds|stands|lies|anew|nobody|whoever|thereby|what is|for ever|beside it)\b", re.IGNORECASE
)

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Folder:
    """How many modules a folder has, and how many import levels they stand on."""

    name: str
    modules: int
    levels: int


@dataclass(frozen=True, slots=True)
class Structure:
    """The measures of one checkout. `problems` has a line for each broken rule."""

    folders: tuple[Folder, ...]
    repeated_names: tuple[str, ...]
    module_circles: tuple[str, ...]
    folder_circles: tuple[str, ...]
    long_docstrings: tuple[str, ...]
    docstring_words: int
    idiom_words: int
    largest_modules: tuple[tuple[int, str], ...]
    largest_functions: tuple[tuple[int, str], ...]
    crowded_constructors: tuple[str, ...]
    modules: int
    lines: int
    problems: tuple[str, ...] = field(default=())


def measure(root: Path) -> Structure:
    """Measures the checkout at `root`."""
    modules = read_modules(root)
    names = frozenset(module.name for module in modules)
    graph = {module.name: imports(module, names) for module in modules}
    folders = tuple(_folders(modules, graph))
    repeated = tuple(_repeated_names(modules))
    module_circles = tuple(_circles(graph))
    folder_circles = tuple(_circles(_folder_graph(modules, graph)))
    long_docstrings = tuple(
        f"{module.path}: {len(module.docstring.splitlines())} lines"
        for module in modules
        if len(module.docstring.splitlines()) > MAX_DOCSTRING_LINES
    )
    crowded = tuple(
        f"{module.path}: {name} has {count}"
        for module in modules
        for name, count in collaborators(module)
        if count > MAX_COLLABORATORS
    )
    largest = sorted(((module.lines, str(module.path)) for module in modules), reverse=True)
    functions = sorted(_function_lines(modules), reverse=True)
    texts = "\n".join(text for module in modules for text in docstrings(module))
    problems = [
        *(
            f"{folder.name} has {folder.modules} modules: a folder is a use case, at most {MAX_MODULES}"
            for folder in folders
            if folder.modules > MAX_MODULES and not folder.name.endswith("/cli")
        ),
        *(f"one basename twice: {each}" for each in repeated),
        *(f"modules import in a circle: {each}" for each in module_circles),
        *(f"folders import in a circle: {each}" for each in folder_circles),
        *(f"module docstring over {MAX_DOCSTRING_LINES} lines: {each}" for each in long_docstrings),
        *(f"constructor with over {MAX_COLLABORATORS} collaborators: {each}" for each in crowded),
        *(
            f"{name}: {lines} lines, at most {MAX_MODULE_LINES}"
            for lines, name in largest
            if lines > MAX_MODULE_LINES
        ),
        *(
            f"{name}: {lines} lines, at most {MAX_FUNCTION_LINES}"
            for lines, name in functions
            if lines > MAX_FUNCTION_LINES
        ),
    ]
    return Structure(
        folders=folders,
        repeated_names=repeated,
        module_circles=module_circles,
        folder_circles=folder_circles,
        long_docstrings=long_docstrings,
        docstring_words=len(texts.split()),
        idiom_words=len(_IDIOM.findall(texts)),
        largest_modules=tuple(largest[:5]),
        largest_functions=tuple(functions[:5]),
        crowded_constructors=crowded,
        modules=len(modules),
        lines=sum(module.lines for module in modules),
        problems=tuple(problems),
    )


def _folders(modules: Iterable[Module], graph: Graph) -> Iterable[Folder]:
    """Folders with their modules, and the length of the longest import chain inside each."""
    inside: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        if not module.is_entry:
            inside[module.folder].append(module.name)
    for folder, names in sorted(inside.items()):
        own = frozenset(names)
        yield Folder(folder, len(names), _longest_chain({name: graph[name] & own for name in names}))


def _longest_chain(graph: Graph) -> int:
    """How many modules the longest chain of imports has; a circle counts as one."""
    component = {name: number for number, group in enumerate(_components(graph)) for name in group}
    depth: dict[int, int] = {}
    # components come lowest first, so what a component imports has its depth already
    for number, group in enumerate(_components(graph)):
        below = {component[other] for name in group for other in graph[name]} - {number}
        depth[number] = 1 + max((depth[other] for other in below), default=0)
    return max(depth.values(), default=0)


def _folder_graph(modules: Iterable[Module], graph: Graph) -> Graph:
    """Which folder imports which. A package's `__init__` is part of its folder; a folder may use its own subfolders."""
    folder = {module.name: module.folder for module in modules}
    found: dict[str, set[str]] = {name: set() for name in folder.values()}
    for name, others in graph.items():
        found[folder[name]].update(folder[other] for other in others)
    return {
        name: frozenset(other for other in others if not other.startswith(f"{name}/") and other != name)
        for name, others in found.items()
    }


def _circles(graph: Graph) -> list[str]:
    return sorted(" ↔ ".join(sorted(group)) for group in _components(graph) if len(group) > 1)


def _components(graph: Graph) -> list[list[str]]:
    """Strongly connected components (Tarjan 1972), lowest first."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == order[name]:
            start = stack.index(name)
            found.append(stack[start:])
            del stack[start:]

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return found


def _repeated_names(modules: Iterable[Module]) -> Iterable[str]:
    """Basenames that occur twice within one service; a cli module may have the name of its use case."""
    where: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in modules:
        if not module.is_entry and "cli" not in module.path.parts[:-1]:
            where[module.path.parts[0], module.path.name].append(str(module.path))
    return [", ".join(paths) for _, paths in sorted(where.items()) if len(paths) > 1]


def _function_lines(modules: Iterable[Module]) -> Iterable[tuple[int, str]]:
    for module in modules:
        for node in definitions(module):
            if hasattr(node, "args") and node.end_lineno is not None:
                yield node.end_lineno - node.lineno + 1, f"{module.path}:{node.name}"
