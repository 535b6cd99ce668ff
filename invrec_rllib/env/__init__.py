"""The world as a PettingZoo environment: what agents see, what their actions mean, what they earn."""

from invrec_rllib.env.actions import ActionMapping
from invrec_rllib.env.encoder import ObservationEncoder, encode, encoder_for
from invrec_rllib.env.facts import Facts
from invrec_rllib.env.fields import Field, field_table
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.env.slates import hard_top_k, soft_top_k

__all__ = [
    "ActionMapping",
    "Facts",
    "Field",
    "ObservationEncoder",
    "ObservationLayout",
    "encode",
    "encoder_for",
    "field_table",
    "hard_top_k",
    "soft_top_k",
]
