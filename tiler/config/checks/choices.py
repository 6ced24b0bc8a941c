"""Check that one option of each group is chosen, unless options have places of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tiler.errors import ConfigError


def check_choices(
    loader: ConfigLoader, name: str, config: DictConfig, overrides: Sequence[Override]
) -> None:
    """Refuse a list of options for a group that takes one, in the command, a file or a sweep.

    Hydra composes them into one node, where the last one wins.

    Parameters
    ----------
    loader
        The loader, which finds the options.
    name
        The name of the primary configuration.
    config
        The configuration as it was composed.
    overrides
        The overrides of the command, and of a sweep's file.

    Raises
    ------
    ConfigError
        If a list is chosen; the error names its options.
    """
    plain = [str(one.input_line) for one in overrides if not one.is_sweep_override()]
    swept = [[*plain, word] for word in _swept_lists(overrides)]
    for words in [plain, *swept] if _may_be_listed(config) else swept:
        chosen: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for default in loader.compute_defaults_list(name, words, RunMode.MULTIRUN).defaults:
            group, _, option = str(default.config_path).rpartition("/")
            # A file of the same group is an option that another one is made from.
            if group and str(default.parent).rpartition("/")[0] != group:
                chosen[group, str(default.parent), str(default.package)].append(option)
        for (group, _, _), listed in chosen.items():
            options = list(dict.fromkeys(listed))  # `+exporter=[csv]` repeats the default option
            if len(options) > 1 and not group.startswith("hydra/"):
                raise ConfigError(
                    f"{group}=[{','.join(options)}]: the group takes one option; choose"
                    f" {group}={options[0]}, or sweep over them: -m {group}={','.join(options)}"
                )


def _may_be_listed(config: DictConfig) -> bool:
    """Return whether a group has a node, but no option that Hydra knows: it knows no list.

    To compute the defaults list takes a third of the time of composing.
    """
    known = config.hydra.runtime.choices
    # Values that only a job can resolve must not be read.
    plain = [key for key in config if not OmegaConf.is_interpolation(config, str(key))]
    keys = [key for key in plain if key != "hydra" and OmegaConf.is_dict(config.get(key))]
    single = [key for key in keys if "_target_" in config[key]]
    return any(group not in known for group in [*single, "experiment"])


def _swept_lists(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield the overrides of a sweep that set a key to a list."""
    for override in overrides:
        if override.is_sweep_override() and override.is_discrete_sweep():
            for value in override.sweep_string_iterator():
                if value.startswith("["):
                    yield f"{override.get_key_element()}={value}"
