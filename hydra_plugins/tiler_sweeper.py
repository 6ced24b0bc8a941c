"""``hydra/sweeper=tiler``: Hydra's basic sweeper, composing once what its jobs share.

It lies here because Hydra takes sweepers from the namespace ``hydra_plugins`` alone, and imports
all of them for every program: so nothing more than it takes to be found.
"""

# No annotations from __future__: Hydra runs this file before it is in sys.modules, where
# dataclasses would look them up.
from dataclasses import dataclass, replace

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class TilerSweeperConf(BasicSweeperConf):
    """What may be set: as for the basic sweeper."""

    _target_: str = "hydra_plugins.tiler_sweeper.TilerSweeper"


ConfigStore.instance().store(
    group="hydra/sweeper", name="tiler", node=TilerSweeperConf, provider="tiler"
)


class TilerSweeper(BasicSweeper):
    """The product of all swept values, in order."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Have the launcher, too, compose with a loader that shares."""
        from tiler.config.composition import SharingLoader

        loader = SharingLoader(hydra_context.config_loader.get_search_path())
        super().setup(
            hydra_context=replace(hydra_context, config_loader=loader),
            task_function=task_function,
            config=config,
        )
