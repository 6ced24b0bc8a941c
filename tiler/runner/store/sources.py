"""The source of a user's own component: its module, and the modules that it imports.

Imports are followed in the text of the files beside the module's own package; nothing is imported
for it. Imports by a computed name are not seen.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

_INSTALLED = ("site-packages", "dist-packages")
_MAX_FILES = 500
"""Files of one module that are read: a large library must not take seconds."""


@cache
def source_digest(module: str) -> str:
    """Return the SHA-256 of the source of a module and of its imports from its own place.

    Own are the modules of the same package, and, unless the package is installed, all that lie in
    the same folder. Empty for a module without a file.
    """
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file:
        return ""
    path = Path(file)
    total = sha256(path.read_bytes())
    root = _root(module, path)
    if root is not None:
        for name, source in sorted(_sources(module, root).items()):
            total.update(f"\n{name} {sha256(source).hexdigest()}".encode())
    return total.hexdigest()


def _root(module: str, path: Path) -> Path | None:
    """Return the folder that a module's name is relative to; None if its file has another name."""
    parts = module.split(".")
    for names in ([*parts[:-1], f"{parts[-1]}.py"], [*parts, "__init__.py"]):
        if path.parts[-len(names) :] == tuple(names):
            return path.parents[len(names) - 1]
    return None


def _sources(module: str, root: Path) -> dict[str, bytes]:
    """Every source file that a module is made of, by its module's name."""
    own = module.split(".")[0]
    alone = _is_installed(root)
    found: dict[str, bytes] = {}
    seen, waiting = set[str](), [module]
    while waiting and len(found) < _MAX_FILES:
        name = waiting.pop()
        top = name.split(".")[0]
        if name in seen or top == "tiler" or (alone and top != own):
            continue
        seen.add(name)
        path = _file(root, name)
        if path is not None:
            found[name] = path.read_bytes()
            waiting += sorted(_imports(found[name], name, path.name == "__init__.py"))
    return found


def _is_installed(root: Path) -> bool:
    """Return whether a folder contains packages of others."""
    standard = sysconfig.get_paths()["stdlib"]
    return bool(set(_INSTALLED) & set(root.parts)) or root.is_relative_to(standard)


def _file(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None


def _imports(source: bytes, module: str, is_package: bool) -> set[str]:
    """Return the full names of all modules that a source may import, with their packages."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    package = module if is_package else module.rpartition(".")[0]
    names = {name for node in ast.walk(tree) for name in _imported(node, package)}
    parts = [name.split(".") for name in (*names, module)]
    return {".".join(some[:count]) for some in parts for count in range(1, len(some) + 1)}


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")
        base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
        origin = ".".join(filter(None, (base, node.module)))
        yield from (".".join(filter(None, (origin, alias.name))) for alias in node.names)
