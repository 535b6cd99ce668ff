"""Step-size schedules of the parts of a learner, and what must hold between them; loads neither torch nor ray."""

from invrec_rllib.timescales.asymptotics import Tail
from invrec_rllib.timescales.base import (
    Schedule,
    ScheduleLike,
    schedule_from_data,
    schedule_kind,
    schedule_kinds,
)
from invrec_rllib.timescales.drift import DriftBudget, DriftController, drift_from_data
from invrec_rllib.timescales.parts import (
    CLOCKS,
    EVERY_OTHER_MODULE,
    Clock,
    Part,
    PartLike,
    Timescales,
    part,
    part_from_data,
)
from invrec_rllib.timescales.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseLog,
    Linear,
    Piecewise,
    PowerLaw,
    WarmUp,
)

__all__ = [
    "CLOCKS",
    "EVERY_OTHER_MODULE",
    "Clock",
    "Constant",
    "Cosine",
    "DriftBudget",
    "DriftController",
    "Exponential",
    "InverseLog",
    "Linear",
    "Part",
    "PartLike",
    "Piecewise",
    "PowerLaw",
    "Schedule",
    "ScheduleLike",
    "Tail",
    "Timescales",
    "WarmUp",
    "drift_from_data",
    "part",
    "part_from_data",
    "schedule_from_data",
    "schedule_kind",
    "schedule_kinds",
]
