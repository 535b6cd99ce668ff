"""Calibration of scenarios from sales data; needs the extra `data` once it runs, not to be imported."""

from invrec_rllib.scenario.calibration.assumptions import REASONS, Assumptions
from invrec_rllib.scenario.calibration.build import DEFAULT_CATEGORY, Calibration, Fits, calibrate, fit_panel
from invrec_rllib.scenario.calibration.complete_journey import complete_journey
from invrec_rllib.scenario.calibration.describe import describe_calibration
from invrec_rllib.scenario.calibration.forecast import Holdout
from invrec_rllib.scenario.calibration.panel import Panel
from invrec_rllib.scenario.calibration.records import Weeks
from invrec_rllib.scenario.calibration.segments import SegmentKind
from invrec_rllib.scenario.calibration.sources import Source, own_tables
from invrec_rllib.scenario.calibration.tables import describe_tables
from invrec_rllib.scenario.lifts import with_lift

__all__ = [
    "DEFAULT_CATEGORY",
    "REASONS",
    "Assumptions",
    "Calibration",
    "Fits",
    "Holdout",
    "Panel",
    "SegmentKind",
    "Source",
    "Weeks",
    "calibrate",
    "complete_journey",
    "describe_calibration",
    "describe_tables",
    "fit_panel",
    "own_tables",
    "with_lift",
]
