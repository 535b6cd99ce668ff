"""The world as a PettingZoo environment: what agents see, what their actions mean, what they earn."""

from invrec_rllib.env.accounts import MONEY, UNITS, itemise
from invrec_rllib.env.actions import ActionMapping, ExposureMapping, OrderMapping
from invrec_rllib.env.agents import Agent
from invrec_rllib.env.check import EnvironmentCheckError, check_env
from invrec_rllib.env.encoder import ObservationEncoder, encode, encoder_for, exact_view
from invrec_rllib.env.facts import Facts
from invrec_rllib.env.fields import Field, describe_fields, field_table
from invrec_rllib.env.invrec_v0 import InvRecEnv, env, parallel_env, raw_env
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.env.rewards import RewardMode, Rewards, compute_rewards
from invrec_rllib.env.slates import hard_top_k, soft_top_k

__all__ = [
    "MONEY",
    "UNITS",
    "ActionMapping",
    "Agent",
    "EnvironmentCheckError",
    "ExposureMapping",
    "Facts",
    "Field",
    "InvRecEnv",
    "ObservationEncoder",
    "ObservationLayout",
    "OrderMapping",
    "RewardMode",
    "Rewards",
    "check_env",
    "compute_rewards",
    "describe_fields",
    "encode",
    "encoder_for",
    "env",
    "exact_view",
    "field_table",
    "hard_top_k",
    "itemise",
    "parallel_env",
    "raw_env",
    "soft_top_k",
]
