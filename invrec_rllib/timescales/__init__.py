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
from invrec_rllib.timescales.pace import slowness
from invrec_rllib.timescales.parts import (
    CLOCKS,
    Clock,
    Part,
    PartLike,
    part,
    part_from_data,
)
from invrec_rllib.timescales.report import PartReport, RatioReport, TimescaleReport, TimescaleWarning
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
from invrec_rllib.timescales.timescales import EVERY_OTHER_MODULE, Timescales

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
    "PartReport",
    "Piecewise",
    "PowerLaw",
    "RatioReport",
    "Schedule",
    "ScheduleLike",
    "Tail",
    "TimescaleReport",
    "TimescaleWarning",
    "Timescales",
    "WarmUp",
    "drift_from_data",
    "part",
    "part_from_data",
    "schedule_from_data",
    "schedule_kind",
    "schedule_kinds",
    "slowness",
]
