"""A training run as tables, figures and one HTML page (extra `report`)."""

from invrec_rllib.report.page import write_report
from invrec_rllib.report.run import RunRecord, read_run

__all__ = ["RunRecord", "read_run", "write_report"]
