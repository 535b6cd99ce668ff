"""What a world is: one validated description, from Python, YAML, a preset, a generator or sales data."""

from invrec_rllib.scenario.derived import organic_demand, organic_margin, reward_scale
from invrec_rllib.scenario.files import (
    build_scenario,
    dump_scenario,
    load_scenario,
    parse_scenario,
    preset_names,
    save_scenario,
    scenario_json_schema,
)
from invrec_rllib.scenario.generator import generate_scenario
from invrec_rllib.scenario.schema import (
    Demand,
    Products,
    Recommendation,
    Scenario,
    Segments,
    Supply,
    Tastes,
)

__all__ = [
    "Demand",
    "Products",
    "Recommendation",
    "Scenario",
    "Segments",
    "Supply",
    "Tastes",
    "build_scenario",
    "dump_scenario",
    "generate_scenario",
    "load_scenario",
    "organic_demand",
    "organic_margin",
    "parse_scenario",
    "preset_names",
    "reward_scale",
    "save_scenario",
    "scenario_json_schema",
]
