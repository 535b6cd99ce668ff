"""Inventory and recommendation as two agents of one firm: a PettingZoo world and a Ray RLlib plugin.

Names are imported when they are first used: `import invrec_rllib` loads neither ray nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invrec_rllib.env import invrec_v0
    from invrec_rllib.env.check import check_env
    from invrec_rllib.env.invrec_v0 import parallel_env
    from invrec_rllib.errors import InputError, InvrecError, MissingExtraError, ScenarioError
    from invrec_rllib.evaluation import Comparison, compare, rollout
    from invrec_rllib.learning.pathwise.settings import PathwiseSettings
    from invrec_rllib.learning.policy import Policy
    from invrec_rllib.learning.settings import TrainSettings
    from invrec_rllib.learning.trained_pairs import load_trained
    from invrec_rllib.policies.registry import make_policy, policy_names
    from invrec_rllib.report import write_report
    from invrec_rllib.rllib.algorithm import build_config
    from invrec_rllib.rllib.fast_sampling import fast_sampling
    from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
    from invrec_rllib.rllib.register import make_env_config, register
    from invrec_rllib.rllib.timescale_learner import multi_timescale
    from invrec_rllib.scenario import (
        Scenario,
        generate_scenario,
        load_scenario,
        preset_names,
        save_scenario,
    )
    from invrec_rllib.scenario.calibration import calibrate, own_tables, with_lift
    from invrec_rllib.searching import search_pair
    from invrec_rllib.sim import Simulator
    from invrec_rllib.timescales import Timescales
    from invrec_rllib.training import resume, train

    __version__: str

__all__ = [
    "Comparison",
    "InputError",
    "InvrecError",
    "MTMAPPOConfig",
    "MissingExtraError",
    "PathwiseSettings",
    "Policy",
    "Scenario",
    "ScenarioError",
    "Simulator",
    "Timescales",
    "TrainSettings",
    "__version__",
    "build_config",
    "calibrate",
    "check_env",
    "compare",
    "fast_sampling",
    "generate_scenario",
    "invrec_v0",
    "load_scenario",
    "load_trained",
    "make_env_config",
    "make_policy",
    "multi_timescale",
    "own_tables",
    "parallel_env",
    "policy_names",
    "preset_names",
    "register",
    "resume",
    "rollout",
    "save_scenario",
    "search_pair",
    "train",
    "with_lift",
    "write_report",
]

_NAMES_BY_MODULE = {
    "env": ("invrec_v0",),
    "env.check": ("check_env",),
    "env.invrec_v0": ("parallel_env",),
    "errors": ("InputError", "InvrecError", "MissingExtraError", "ScenarioError"),
    "evaluation": ("Comparison", "compare", "rollout"),
    "learning.policy": ("Policy",),
    "learning.pathwise.settings": ("PathwiseSettings",),
    "learning.settings": ("TrainSettings",),
    "learning.trained_pairs": ("load_trained",),
    "policies.registry": ("make_policy", "policy_names"),
    "report": ("write_report",),
    "rllib.algorithm": ("build_config",),
    "rllib.fast_sampling": ("fast_sampling",),
    "rllib.mtmappo": ("MTMAPPOConfig",),
    "rllib.register": ("make_env_config", "register"),
    "rllib.timescale_learner": ("multi_timescale",),
    "scenario": ("Scenario", "generate_scenario", "load_scenario", "preset_names", "save_scenario"),
    "scenario.calibration": ("calibrate", "own_tables", "with_lift"),
    "searching": ("search_pair",),
    "sim": ("Simulator",),
    "timescales": ("Timescales",),
    "training": ("resume", "train"),
}
_MODULE_BY_NAME = {
    name: f"{__name__}.{module}" for module, names in _NAMES_BY_MODULE.items() for name in names
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("invrec-rllib")
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "invrec_v0":
        return importlib.import_module(f"{__name__}.env.invrec_v0")
    return getattr(importlib.import_module(_MODULE_BY_NAME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
