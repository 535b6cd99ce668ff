"""How a world moves: pure NumPy, batched over episodes; no agents, observations or discounting."""

from invrec_rllib.sim.choice import attraction, mean_demand, purchase_probability
from invrec_rllib.sim.params import Params, compile_scenario
from invrec_rllib.sim.period import simulate_period
from invrec_rllib.sim.randomness import EpisodeStreams, PeriodDraws, episode_keys
from invrec_rllib.sim.simulator import Simulator
from invrec_rllib.sim.state import Economics, Outcome, State, initial_state

__all__ = [
    "Economics",
    "EpisodeStreams",
    "Outcome",
    "Params",
    "PeriodDraws",
    "Simulator",
    "State",
    "attraction",
    "compile_scenario",
    "episode_keys",
    "initial_state",
    "mean_demand",
    "purchase_probability",
    "simulate_period",
]
