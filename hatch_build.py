"""Build hook: builds the report's front end (pages/) when a wheel or editable install is made."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PagesHook(BuildHookInterface[Any]):
    """Build the front end unless its built files are of the present sources.

    An editable install goes on without them, with a warning: a run with report=html then says what
    is missing. The other targets fail.
    """

    def dependencies(self) -> list[str]:
        """Return the package that contains Node.js if the build needs it and none is on PATH."""
        pages = _pages(self.root)
        return [] if pages.is_built() or pages.programs() else [pages.WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the files; the option ``artifacts`` of pyproject.toml includes them."""
        pages = _pages(self.root)
        try:
            pages.build()
        except pages.BuildError as error:
            if version != "editable":
                raise
            warnings.warn(f"report=html will not work: {error}", stacklevel=1)


def _pages(root: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiler_pages", Path(root, "pages", "build.py"))
    if spec is None or spec.loader is None:
        raise ImportError("pages/build.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
