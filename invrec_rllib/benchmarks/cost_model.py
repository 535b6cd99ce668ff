"""What an iteration costs on a cluster: a model of sampling, network and learning, and which of them binds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from invrec_rllib.errors import InputError


@dataclass(frozen=True)
class Costs:
    """What the parts of an iteration take, per unit of their work; measured by `cluster.measure_costs`.

    Attributes:
        periods: env steps of an episode [T].
        batch_step_seconds: of a step of a runner's batch, however large it is [a].
        env_step_seconds: of each environment in it beside that, on one core [b].
        block_bytes: that a runner hands over, per env step.
        copy_seconds: per byte that goes through Ray's object store.
        weight_bytes: that a runner gets before it samples.
        call_seconds: of a runner's call, per runner.
        update_seconds: of a minibatch, however large it is [u].
        learn_seconds: per env step, all epochs together [v].
        gradient_bytes: that learners exchange per minibatch.
    """

    periods: int
    batch_step_seconds: float
    env_step_seconds: float
    block_bytes: float
    copy_seconds: float
    weight_bytes: float
    call_seconds: float
    update_seconds: float
    learn_seconds: float
    gradient_bytes: float


@dataclass(frozen=True)
class Network:
    """What joins the nodes.

    Attributes:
        bytes_per_second: of a node's link.
        latency_seconds: of a message.
    """

    bytes_per_second: float = 10e9 / 8
    latency_seconds: float = 1e-4


@dataclass(frozen=True)
class Layout:
    """A run on a cluster.

    Attributes:
        cores: of all nodes.
        runners: remote env runners, a core each; 0: the training process samples.
        learners: remote learners, a core each; 0: the training process learns.
        episodes: whole episodes of an iteration, shared by the runners.
        updates: minibatches of an iteration, all epochs together.
        node_cores: of a node.

    Raises:
        InputError: a number is out of its range.
    """

    cores: int
    runners: int
    learners: int
    episodes: int
    updates: int
    node_cores: int = 16

    def __post_init__(self) -> None:
        for name, least in (
            ("cores", 1),
            ("runners", 0),
            ("learners", 0),
            ("episodes", 1),
            ("updates", 1),
            ("node_cores", 1),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def nodes(self) -> int:
        """Nodes of the cluster."""
        return math.ceil(self.cores / self.node_cores)


@dataclass(frozen=True)
class Iteration:
    """Seconds of an iteration by what they are spent on; the parts come one after the other, as PPO's do.

    Attributes:
        sampling: simulator and forward passes, by all runners side by side.
        network: blocks to the learners, gradients between them, weights to the runners.
        learning: all epochs.
        env_steps: of the iteration.
    """

    sampling: float
    network: float
    learning: float
    env_steps: int

    @property
    def seconds(self) -> float:
        """Of the whole iteration."""
        return self.sampling + self.network + self.learning

    @property
    def steps_per_second(self) -> float:
        """Env steps per second."""
        return self.env_steps / self.seconds

    @property
    def binds(self) -> str:
        """The part that takes longest: sampling, network or learning."""
        return max(("sampling", "network", "learning"), key=lambda part: float(getattr(self, part)))


def predict(costs: Costs, layout: Layout, *, network: Network | None = None) -> Iteration:
    """Seconds of one iteration of synchronous PPO.

    Runners sample whole episodes side by side, as many each as it takes. The training process, on the first node,
    collects all blocks: each byte is copied through the object store, and crosses its link if it comes from another
    node. Several learners get their shares the same way, and exchange gradients by a ring: 2 (L - 1) messages of
    a part in L each. Weights go to every node once, and a call to every runner. Where there are fewer cores than
    processes, these take turns.

    Args:
        costs: as measured.
        layout: of the run.
        network: None: 10 Gbit/s and 0.1 ms.
    """
    link = network or Network()
    env_steps = layout.episodes * costs.periods
    runners, learners = max(layout.runners, 1), max(layout.learners, 1)
    busy = min(runners, layout.episodes)
    batch = math.ceil(layout.episodes / runners)
    sampling = costs.periods * (costs.batch_step_seconds + costs.env_step_seconds * batch)
    sampling *= max(1.0, busy / layout.cores)
    # From the runners to the training process, and on to the learners.
    hops = (layout.runners > 0) + (layout.learners > 0)
    moved = hops * env_steps * costs.block_bytes * _seconds_per_byte(costs, layout, link)
    if layout.runners:
        moved += layout.runners * costs.call_seconds
        moved += layout.nodes * costs.weight_bytes / link.bytes_per_second
    if learners > 1:
        messages = 2 * (learners - 1) * layout.updates
        part = costs.gradient_bytes / learners
        moved += messages * (link.latency_seconds + part / link.bytes_per_second)
    learning = layout.updates * costs.update_seconds + env_steps * costs.learn_seconds / learners
    learning *= max(1.0, learners / layout.cores)
    return Iteration(sampling, moved, learning, env_steps)


def _seconds_per_byte(costs: Costs, layout: Layout, link: Network) -> float:
    """Copied once; and over the link as far as it comes from other nodes than the training process's."""
    elsewhere = max(0.0, 1.0 - layout.node_cores / layout.cores)
    return costs.copy_seconds + elsewhere / link.bytes_per_second
