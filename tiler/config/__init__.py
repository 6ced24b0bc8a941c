"""From a composed configuration to plain objects. Hydra and OmegaConf stop here and in the cli."""
