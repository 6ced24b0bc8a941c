"""Running again what a ``run.json`` holds: its own configuration, whatever the defaults are now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tiler.config.checks.validate import leaves
from tiler.config.command.folder import conf_folder
from tiler.config.literal import literal
from tiler.errors import ConfigError
from tiler.files import expanded
from tiler.storage.safe_text import has_mask
from tiler.storage.stored import StoredError, read_json

NAME = "rerun"

_OTHER = ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")
"""Options of Hydra that lead to another configuration than the old run's."""


def rerun_of(words: Sequence[str]) -> tuple[Path, list[str]]:
    """The run that ``--rerun RUN`` or ``--rerun=RUN`` names among words, and the other words.

    Raises
    ------
    ConfigError
        When no run follows.
    """
    at = next(n for n, word in enumerate(words) if word.split("=")[0] == "--rerun")
    _, given, old = words[at].partition("=")
    after = [*words[at + 1 :]]
    old = old if given else after.pop(0) if after else ""
    if not old:
        raise ConfigError("--rerun: give the folder of a run, or its run.json")
    return Path(expanded(old)), [*words[:at], *after]


def write_rerun(old: Path, words: Sequence[str], folder: Path) -> list[str]:
    """Write an old run's configuration for Hydra into ``folder``; the words that make it use it.

    Parameters
    ----------
    old
        The run's folder, or the ``run.json`` in it. Its folder becomes ``out``.
    words
        What is to be set anew: an option of a group takes the place of all that the run had there.
    folder
        For ``rerun.yaml``.

    Raises
    ------
    ConfigError
        When there is no configuration of a run, or the words ask for another one altogether.
    """
    path = old / "run.json" if old.is_dir() else old
    config = _config_of(path, old)
    if "defaults" in config:
        raise ConfigError(f"--rerun {old}: {path} has a key 'defaults', which no run writes")
    for word in words:
        if word.lstrip("+").startswith("experiment=") or word.split("=")[0] in _OTHER:
            raise ConfigError(
                f"--rerun {old}: {word} asks for another configuration: leave one of them out (your"
                " own options are found by 'hydra.searchpath=[file://…]')"
            )
    _check_secrets(config, words)
    standing = yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8"))
    defaults = [entry for entry in standing["defaults"] if isinstance(entry, dict)]
    anew = [group for entry in defaults for group in entry if _is_chosen(group, words)]
    document = {
        "defaults": [
            "tiler_schema",
            "_self_",
            *({group: None} for group in anew),
            *(entry for entry in defaults if any(key.startswith("override ") for key in entry)),
        ],
        **{key: literal(value) for key, value in config.items() if key not in anew},
        "out": literal(str(path.parent)),
        "hydra": standing["hydra"],
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / f"{NAME}.yaml").write_text(text, encoding="utf-8")
    return ["--config-dir", str(folder), "--config-name", NAME]


def _config_of(path: Path, old: Path) -> dict[str, Any]:
    try:
        config = read_json(path.resolve()).get("config")  # the user may name a link
        if isinstance(config, dict) and config:
            return config
        what = f"{path} contains no configuration"
    except FileNotFoundError:
        what = f"{path} is missing"
    except StoredError as error:
        what = f"{path} {error}"
    raise ConfigError(
        f"--rerun {old}: no run to repeat there ({what}); give the folder of a run, or its run.json"
    )


def _check_secrets(config: dict[str, Any], words: Sequence[str]) -> None:
    """Refuse to run with ``***`` for a secret.

    Raises
    ------
    ConfigError
        When the old run had one in a value that no word sets anew.
    """
    for key, value in leaves(config):
        if has_mask(value) and not any(_is_set(key, word) for word in words):
            raise ConfigError(
                f"{key}={value}: run.json does not contain the secret; give it again: {key}=…"
            )


def _is_set(key: str, word: str) -> bool:
    """Whether an override sets a key, chooses another option for its group, or deletes it."""
    name = word.partition("=")[0].lstrip("+~")
    return key == name or key.startswith((f"{name}.", f"{name}["))


def _is_chosen(group: str, words: Sequence[str]) -> bool:
    """Whether an option of a group is chosen, rather than the value of the key of that name set."""
    return any(
        word.startswith(f"{group}=") and not word.startswith(f"{group}={{") for word in words
    )
