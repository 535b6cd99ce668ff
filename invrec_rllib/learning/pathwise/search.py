"""Policy search by pathwise gradients: profit's own derivative, averaged over simulated episodes.

In the spirit of direct backpropagation (Madeka, Torkkola, Eisenach, Luo, Foster and Kakade 2022, "Deep inventory
management") and hindsight differentiable policy optimisation (Alvo, Russo and Kanoria 2023, "Neural inventory control
in networks via hindsight differentiable policy optimization"): no critic, no sampled actions. The search begins at the
coordinated heuristic, whose parameters and corrections it moves.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invrec_rllib.errors import InputError
from invrec_rllib.learning.pathwise.heuristic import Heuristic
from invrec_rllib.learning.pathwise.pair import Pair
from invrec_rllib.learning.pathwise.plan import believe
from invrec_rllib.learning.pathwise.settings import Memory, PathwiseSettings
from invrec_rllib.learning.pathwise.world import World, straight_through
from invrec_rllib.policies.coordinated import CoordinatedParameters
from invrec_rllib.policies.view import Information
from invrec_rllib.sim.params import Params
from invrec_rllib.sim.randomness import EpisodeKey, EpisodeStreams, episode_keys

# Apart from the seeds that training, its comparisons and `invrec evaluate` use, and from those of tuning.
_SEARCH_SEED = 6_000_037
_VALIDATION_SEED = 7_000_013
_MOMENTS = (0.9, 0.98)


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        step: steps done; 0: the heuristic.
        profit: mean on the validation episodes, money per episode.
        best: the highest so far.
    """

    step: int
    profit: float
    best: float


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        pair: the best on the validation episodes.
        history: every validation, the heuristic's first.
    """

    pair: Pair
    history: tuple[Progress, ...]


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for torch: tensors are too small to share, and threads that wait cost others their cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@single_threaded()
def search(
    params: Params,
    chosen: CoordinatedParameters,
    *,
    information: Information,
    settings: PathwiseSettings | None = None,
    progress: Callable[[int, Progress], None] = lambda step, found: None,
) -> Search:
    """Move the heuristic up the gradient of profit; nothing depends on anything but the arguments.

    Args:
        params: the world.
        chosen: parameters that the search begins with.
        information: what the pair sees of tastes.
        settings: of the search; None: the defaults.
        progress: called after every step with the steps done and the last validation.

    Raises:
        InputError: the world has what the gradients cannot pass; see `World`.
    """
    settings = settings or PathwiseSettings()
    world = World(params)
    heuristic = Heuristic(world, chosen, temperature=settings.temperature)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        pair = Pair(chosen, num_features=heuristic.num_features, hidden=settings.hidden)
    mean = copy.deepcopy(pair)
    optimiser = _make_optimiser(pair, settings)
    validation = episode_keys(_VALIDATION_SEED + settings.seed, settings.validation_episodes)

    def validate(step: int) -> Progress:
        with torch.no_grad():
            profit = float(
                play(heuristic, mean, validation, information=information, memory=settings.memory)
                .double()
                .mean()
            )
        return Progress(step, profit, max([profit, *(found.profit for found in history)]))

    history: list[Progress] = []
    history.append(validate(0))
    best = copy.deepcopy(mean)
    due = {round(settings.steps * k / settings.validations) for k in range(1, settings.validations + 1)}
    for step in range(settings.steps):
        first = step * settings.episodes
        keys = episode_keys(_SEARCH_SEED + settings.seed, range(first, first + settings.episodes))
        _climb(heuristic, pair, optimiser, keys, step=step, information=information, settings=settings)
        _average(mean, pair, past=min(settings.averaging, step / (step + 10.0)))
        if step + 1 in due:
            history.append(validate(step + 1))
            if history[-1].profit >= history[-1].best:
                best = copy.deepcopy(mean)
        progress(step + 1, history[-1])
    return Search(best, tuple(history))


def play(
    heuristic: Heuristic,
    pair: Pair,
    keys: Sequence[EpisodeKey],
    *,
    information: Information,
    memory: Memory = "filter",
) -> Tensor:
    """Profits of episodes, money, (B,), with derivatives for the pair."""
    world, params = heuristic.world, heuristic.world.params
    blurred = information != "full"
    score_noise = params.scenario.tastes.score_noise if blurred and memory == "filter" else 0.0
    streams = EpisodeStreams(params, keys)
    weights = {name: value.to(world.dtype) for name, value in pair.weights().items()}
    state, belief = world.start(len(keys)), None
    profits = []
    for period in range(params.num_periods):
        scores = state.affinity
        if blurred:
            scores = scores + world.tensor(streams.next_score_noise())
        belief = believe(
            world,
            belief,
            scores,
            score_noise=score_noise,
            last_exposure=state.last_exposure,
            period=period,
        )
        order, exposure = heuristic.decide(
            state, belief.affinity, weights=weights, corrections=pair.corrections
        )
        order = straight_through(order.round(), order)
        state, profit = world.play(state, order=order, exposure=exposure, draws=streams.next_period())
        profits.append(profit)
    return torch.stack(profits).sum(dim=0)


def _make_optimiser(pair: Pair, settings: PathwiseSettings) -> torch.optim.Adam:
    groups = [
        {"params": list(pair.corrections.parameters()), "full_rate": settings.learning_rate},
        {
            "params": list(pair.scaled.parameters()),
            "full_rate": settings.learning_rate * settings.parameter_share,
        },
    ]
    return torch.optim.Adam(groups, lr=settings.learning_rate, betas=_MOMENTS)


def _climb(
    heuristic: Heuristic,
    pair: Pair,
    optimiser: torch.optim.Adam,
    keys: Sequence[EpisodeKey],
    *,
    step: int,
    information: Information,
    settings: PathwiseSettings,
) -> None:
    """One step up the gradient of mean reward per period."""
    params = heuristic.world.params
    factor = rate_factor(step, settings)
    for group in optimiser.param_groups:
        group["lr"] = group["full_rate"] * factor
    profit = play(heuristic, pair, keys, information=information, memory=settings.memory).mean()
    optimiser.zero_grad()
    loss = -profit / (params.reward_scale * params.num_periods)
    loss.backward()  # type: ignore[no-untyped-call, unused-ignore]  # torch leaves it untyped
    norm = nn.utils.clip_grad_norm_(pair.parameters(), settings.gradient_clip)
    if not math.isfinite(float(norm)):
        raise InputError(
            f"the gradient of step {step + 1} is not finite: choose a learning_rate below {settings.learning_rate:g}"
        )
    optimiser.step()
    pair.stay_within_bounds()


def rate_factor(step: int, settings: PathwiseSettings) -> float:
    """Step sizes over their full value: they rise, hold, and fall linearly."""
    done = step / settings.steps
    falling = (1.0 - done) / max(1.0 - settings.hold, 1e-9)
    return min(1.0, (step + 1) / settings.warmup_steps) * max(settings.learning_rate_end, min(1.0, falling))


@torch.no_grad()
def _average(mean: Pair, pair: Pair, *, past: float) -> None:
    for kept, now in zip(mean.parameters(), pair.parameters(), strict=True):
        kept.lerp_(now, 1.0 - past)
