"""What policies do when one stock, delivery or date changes, sign by sign beside the exact optimum."""

from invrec_rllib.evaluation.behaviour.measure import Behaviour, PolicyBehaviour, measure_behaviour
from invrec_rllib.evaluation.behaviour.surfaces import Surface
from invrec_rllib.evaluation.behaviour.testing import Tested

__all__ = ["Behaviour", "PolicyBehaviour", "Surface", "Tested", "measure_behaviour"]
