"""Policies on common random numbers: rollouts, statistics, comparisons."""

from invrec_rllib.evaluation.behaviour import Behaviour, measure_behaviour
from invrec_rllib.evaluation.compare import compare, summarise
from invrec_rllib.evaluation.comparison import Comparison, Row, format_interval
from invrec_rllib.evaluation.rollout import Rollout, rollout
from invrec_rllib.evaluation.statistics import Difference, Estimate, estimate_mean, paired_difference
from invrec_rllib.evaluation.trajectories import Trajectory, load_trajectories, save_trajectories
from invrec_rllib.evaluation.tuning import Tuning, tune
from invrec_rllib.evaluation.worth import Worth, find_worth
from invrec_rllib.scenario.files import scenario_sha256

__all__ = [
    "Behaviour",
    "Comparison",
    "Difference",
    "Estimate",
    "Rollout",
    "Row",
    "Trajectory",
    "Tuning",
    "Worth",
    "compare",
    "estimate_mean",
    "find_worth",
    "format_interval",
    "load_trajectories",
    "measure_behaviour",
    "paired_difference",
    "rollout",
    "save_trajectories",
    "scenario_sha256",
    "summarise",
    "tune",
]
