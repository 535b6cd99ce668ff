"""What policies do when one stock, delivery or date changes, sign by sign beside the exact optimum."""

from invrec_rllib.evaluation.behaviour.measure import Behaviour, PolicyBehaviour, measure_behaviour
from invrec_rllib.evaluation.behaviour.surfaces import Surface
from invrec_rllib.evaluation.behaviour.testing import EffectTest

__all__ = ["Behaviour", "EffectTest", "PolicyBehaviour", "Surface", "measure_behaviour"]
