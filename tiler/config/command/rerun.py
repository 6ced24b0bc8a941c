"""``--rerun``: run the configuration in a ``run.json`` again, independent of today's defaults."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tiler.config.checks.validate import leaves
from tiler.config.command.folder import conf_folder
from tiler.config.literal import literal
from tiler.errors import ConfigError
from tiler.storage.destinations import expanded
from tiler.storage.named import is_folder
from tiler.storage.safe_text import has_mask
from tiler.storage.stored import StoredError, read_json

NAME = "rerun"

_ADDED = ("report",)
"""Groups that runs of tiler 0.2 do not have: they take today's option."""

_OTHER = ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")
"""Options of Hydra that choose another configuration than that of the earlier run."""


def rerun_of(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the run that ``--rerun RUN`` or ``--rerun=RUN`` names, and the other arguments.

    Raises
    ------
    ConfigError
        If no run follows.
    """
    at = next(n for n, one in enumerate(arguments) if one.split("=")[0] == "--rerun")
    _, given, old = arguments[at].partition("=")
    after = [*arguments[at + 1 :]]
    old = old if given else after.pop(0) if after else ""
    if not old:
        raise ConfigError("--rerun: give the folder of a run, or its run.json")
    return Path(expanded(old)), [*arguments[:at], *after]


def write_rerun(old: Path, others: Sequence[str], folder: Path) -> list[str]:
    """Write an earlier run's configuration into ``folder``; return the arguments that choose it.

    Parameters
    ----------
    old
        The run's folder, or the ``run.json`` in it. Its folder becomes ``out``.
    others
        The other arguments. A chosen option replaces all settings that the run had for its group.
    folder
        The folder for ``rerun.yaml``.

    Raises
    ------
    ConfigError
        If there is no configuration of a run, or an argument chooses another configuration.
    """
    path = old / "run.json" if is_folder(old) else old
    config = _config_of(path, old)
    if "defaults" in config:
        raise ConfigError(f"--rerun {old}: {path} has a key 'defaults', which no run writes")
    for one in others:
        if one.lstrip("+").startswith("experiment=") or one.split("=")[0] in _OTHER:
            raise ConfigError(
                f"--rerun {old}: {one} chooses another configuration; leave one of them out (add"
                " your own options by 'hydra.searchpath=[file://…]')"
            )
    _check_secrets(config, others)
    standing = yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8"))
    defaults = [entry for entry in standing["defaults"] if isinstance(entry, dict)]
    chosen = [group for entry in defaults for group in entry if _is_chosen(group, others)]
    newer = [entry for entry in defaults if _is_newer(entry, config)]
    document = {
        "defaults": [
            "tiler_schema",
            "_self_",
            *({group: None} for group in chosen),
            *(entry for entry in newer if not entry.keys() & {*chosen}),
            *(entry for entry in defaults if any(key.startswith("override ") for key in entry)),
        ],
        **{key: literal(value) for key, value in config.items() if key not in chosen},
        "out": literal(str(path.parent)),
        "hydra": standing["hydra"],
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / f"{NAME}.yaml").write_text(text, encoding="utf-8")
    return ["--config-dir", str(folder), "--config-name", NAME]


def _config_of(path: Path, old: Path) -> dict[str, Any]:
    try:
        config = read_json(Path(os.path.realpath(path))).get("config")  # the user may name a link
        if isinstance(config, dict) and config:
            return config
        what = f"{path} contains no configuration"
    except FileNotFoundError:
        what = f"{path} is missing"
    except StoredError as error:
        what = f"{path} {error}"
    raise ConfigError(
        f"--rerun {old}: no run to repeat ({what}); give the folder of a run, or its run.json"
    )


def _check_secrets(config: dict[str, Any], overrides: Sequence[str]) -> None:
    """Refuse to run with ``***`` for a secret.

    Raises
    ------
    ConfigError
        If the earlier run had one in a value that no override sets.
    """
    for key, value in leaves(config):
        if has_mask(value) and not any(_is_set(key, override) for override in overrides):
            raise ConfigError(
                f"{key}={value}: run.json does not contain the secret; give it again: {key}=…"
            )


def _is_newer(entry: dict[str, Any], config: dict[str, Any]) -> bool:
    """Return whether an entry of the defaults is a group that the earlier run did not have."""
    return entry.keys() <= {*_ADDED} - config.keys()


def _is_set(key: str, override: str) -> bool:
    """Return whether an override sets a key, chooses an option for its group, or deletes it."""
    name = override.partition("=")[0].lstrip("+~")
    return key == name or key.startswith((f"{name}.", f"{name}["))


def _is_chosen(group: str, overrides: Sequence[str]) -> bool:
    """Return whether an override chooses an option of a group, rather than setting its mapping."""
    return any(
        one.startswith(f"{group}=") and not one.startswith(f"{group}={{") for one in overrides
    )
