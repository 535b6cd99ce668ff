"""The losses of MTMA-PPO and its minibatches, on RLlib's torch learner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from ray.rllib.algorithms.ppo.ppo import LEARNER_RESULTS_KL_KEY, LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor

from invrec_rllib.errors import InputError
from invrec_rllib.learning.allocation import keep_freed_memory
from invrec_rllib.learning.losses import (
    categorical_entropy,
    categorical_kl,
    categorical_logp,
    clipped_surrogate,
    gaussian_entropy,
    gaussian_kl,
    gaussian_logp,
    masked_mean,
    value_loss,
)
from invrec_rllib.rllib.block_connector import OLD_VALUES, TARGET_MASK, critic_of
from invrec_rllib.rllib.mtmappo_modules import VALUES, CriticModule


class _Terms(NamedTuple):
    """What PPO asks of an action distribution, as functions of the inputs that a network gave."""

    logp: Callable[[Tensor, Tensor], Tensor]
    kl: Callable[[Tensor, Tensor], Tensor]
    entropy: Callable[[Tensor], Tensor]


# Equal to RLlib's distributions, which build objects of torch.distributions for every minibatch.
_TERMS = {
    "gaussian": _Terms(gaussian_logp, gaussian_kl, gaussian_entropy),
    "categorical": _Terms(categorical_logp, categorical_kl, categorical_entropy),
}


def _terms_of(module: Any) -> _Terms:
    """The same by RLlib's distribution class."""
    make = module.get_train_action_dist_cls().from_logits
    return _Terms(
        lambda inputs, actions: make(inputs).logp(actions),
        lambda old, new: make(old).kl(make(new)),
        lambda inputs: make(inputs).entropy(),
    )


class MTMAPPOTorchLearner(PPOTorchLearner):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """PPO's clipped objective for actors, squared errors for critics, each module with a loss of its own.

    Changes of RLlib's `PPOTorchLearner`: the loss of a module depends on what it is; no module needs a value
    function of its own; minibatches are drawn from tensors by index. The rest (schedules of the entropy
    coefficient, KL loss, gradients, several learners) is left alone.
    """

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        """None: values come from critics, which are modules of their own."""
        return []

    def build(self) -> None:
        """Build the learner; its process keeps the memory that gradient steps free."""
        keep_freed_memory()
        super().build()

    def should_module_be_updated(self, module_id: str, multi_agent_batch: Any = None) -> bool:
        """As `policies_to_train` says; a critic learns where a policy does that it judges."""
        asked: list[str] = [module_id]
        modules = {str(name): self.module[name].unwrapped() for name in self.module.keys()}  # noqa: SIM118
        if isinstance(modules.get(module_id), CriticModule):
            asked += [name for name in modules if critic_of(name, modules) == module_id]
        base: Any = super()
        return any(base.should_module_be_updated(name, multi_agent_batch) for name in asked)

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """The loss of one minibatch, a scalar."""
        module = self.module[module_id].unwrapped()
        if isinstance(module, CriticModule):
            return self._critic_loss(module, module_id, config, batch, fwd_out[VALUES])
        return self._actor_loss(module, module_id, config, batch, fwd_out[Columns.ACTION_DIST_INPUTS])

    def _critic_loss(
        self, module: CriticModule, module_id: str, config: Any, batch: Mapping[str, Any], values: Tensor
    ) -> Tensor:
        scaled = module.normalise
        targets = batch[Postprocessing.VALUE_TARGETS]
        mask = batch.get(TARGET_MASK)
        loss = value_loss(
            scaled(values),
            scaled(targets),
            old_values=scaled(batch[OLD_VALUES]),
            clip=config.value_clip,
            mask=mask,
        )
        if mask is not None:
            values, targets = values[mask], targets[mask]
        self._keep(module_id, {VF_LOSS_KEY: loss, LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY: (values, targets)})
        return loss * float(config.vf_loss_coeff)

    def _actor_loss(
        self, module: Any, module_id: str, config: Any, batch: Mapping[str, Any], inputs: Tensor
    ) -> Tensor:
        mask = batch.get(Columns.LOSS_MASK)
        terms = _TERMS.get(getattr(module, "distribution", "")) or _terms_of(module)
        loss = clipped_surrogate(
            terms.logp(inputs, batch[Columns.ACTIONS]),
            batch[Columns.ACTION_LOGP],
            advantages=batch[Postprocessing.ADVANTAGES],
            clip=config.clip_param,
            mask=mask,
        )
        entropy = masked_mean(terms.entropy(inputs), mask)
        self._keep(module_id, {POLICY_LOSS_KEY: loss, ENTROPY_KEY: entropy})
        loss = loss - float(self.entropy_coeff_schedulers_per_module[module_id].get_current_value()) * entropy
        if config.use_kl_loss:
            divergence = masked_mean(terms.kl(batch[Columns.ACTION_DIST_INPUTS], inputs), mask)
            self._keep(module_id, {LEARNER_RESULTS_KL_KEY: divergence})
            coefficient: Any = self.curr_kl_coeffs_per_module[module_id]
            loss = loss + coefficient * divergence
        return loss

    def _keep(self, module_id: str, figures: dict[str, Any]) -> None:
        """Remember figures of the latest minibatch: only those are logged, once per update."""
        self._figures.setdefault(module_id, {}).update(figures)

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Forget the figures of the update before."""
        super().before_gradient_based_update(timesteps=timesteps)
        self._figures: dict[str, dict[str, Any]] = {}

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Log the figures of the last minibatch, as RLlib does, then what RLlib does after an update."""
        for module_id, figures in self._figures.items():
            for name, figure in figures.items():
                value = explained_share(*figure) if isinstance(figure, tuple) else figure
                self.metrics.log_value((module_id, name), value.detach().item(), window=1)
        super().after_gradient_based_update(timesteps=timesteps)

    # Private in RLlib, but the one place where minibatches are made; test_rllib_mtmappo checks that it is used.
    def _create_iterator_if_necessary(
        self,
        *,
        training_data: Any,
        num_total_minibatches: int = 0,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        shuffle_batch_per_epoch: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Minibatches by index instead of by slicing, shuffling and concatenating `SampleBatch`es."""
        batch: Any = self._make_batch_if_necessary(training_data=training_data)  # type: ignore[no-untyped-call]
        for module_id in list(batch.policy_batches):
            if not self.should_module_be_updated(module_id, batch):
                del batch.policy_batches[module_id]
        if not batch.policy_batches:
            raise InputError("policies_to_train leaves no module to learn from this batch")
        self._follow_targets(batch)
        return Minibatches(
            batch,
            size=minibatch_size,
            epochs=num_epochs,
            total=num_total_minibatches,
            shuffle=shuffle_batch_per_epoch,
        )

    def _follow_targets(self, batch: MultiAgentBatch) -> None:
        """Let every critic's statistics follow the targets of all learners."""
        for module_id in sorted(batch.policy_batches):
            module = self.module[module_id].unwrapped()
            if isinstance(module, CriticModule) and module.output.normalisation != "none":
                columns: Any = batch.policy_batches[module_id]
                moments = module.output.moments(
                    columns[Postprocessing.VALUE_TARGETS], columns.get(TARGET_MASK)
                )
                if self.config.num_learners > 1:
                    torch.distributed.all_reduce(moments)
                moved = module.output.absorb(moments)
                # What new statistics do to values is no change by learning, which `value_clip` bounds.
                columns[OLD_VALUES] = moved(columns[OLD_VALUES])


class Minibatches:
    """Every row once per epoch, in as many minibatches for each module as the largest of them needs.

    Of fewer rows than minibatches some come more than once: learners must not disagree on what they learn from.
    Rows of a module with memory are sequences; `size` counts steps all the same. Minibatches of a module differ by
    one row at most, so that none is so small that its gradient is noise.

    Args:
        batch: whole train batch; columns are tensors (rows, ...), or dicts of them.
        size: steps per minibatch; None: all.
        epochs: passes, >= 1.
        total: minibatches in all, where several learners must agree on it; 0: what the passes need.
        shuffle: whether rows come in a new order in every epoch.
    """

    def __init__(
        self, batch: MultiAgentBatch, *, size: int | None, epochs: int, total: int, shuffle: bool
    ) -> None:
        self._batch, self._epochs, self._shuffle = batch, epochs, shuffle
        steps = {name: _steps(columns) for name, columns in batch.policy_batches.items()}
        largest = max(steps.values(), default=0)
        self.per_epoch = max(round(largest / size), 1) if size else 1
        if total:
            self.per_epoch = max(total // epochs, 1)

    def __len__(self) -> int:
        return self.per_epoch * self._epochs

    def __iter__(self) -> Iterator[MultiAgentBatch]:
        batches = self._batch.policy_batches
        env_steps = self._batch.env_steps()
        for _ in range(self._epochs):
            pieces = {name: self._pieces(columns) for name, columns in batches.items()}
            for k in range(self.per_epoch):
                yield MultiAgentBatch(
                    {name: _take(batches[name], pieces[name][k]) for name in batches}, env_steps
                )

    def _pieces(self, columns: Mapping[str, Any]) -> list[Tensor]:
        rows = len(columns[Columns.OBS])
        order = torch.randperm(rows) if self._shuffle else torch.arange(rows)
        if rows < self.per_epoch:
            order = order.repeat(-(-self.per_epoch // rows))[: self.per_epoch]
        return list(order.tensor_split(self.per_epoch))


def _steps(columns: Mapping[str, Any]) -> int:
    mask = columns.get(Columns.LOSS_MASK)
    return len(columns[Columns.OBS]) if mask is None else mask.numel()


def _take(columns: Mapping[str, Any], rows: Tensor) -> SampleBatch:
    taken = SampleBatch(
        {
            name: {key: part.index_select(0, rows.to(part.device)) for key, part in value.items()}
            if isinstance(value, dict)
            else value.index_select(0, rows.to(value.device))
            for name, value in columns.items()
        }
    )
    if Columns.LOSS_MASK in taken:
        # What RLlib logs as steps trained; it would count sequences.
        taken.count = int(taken[Columns.LOSS_MASK].sum())
    return taken


def explained_share(values: Tensor, targets: Tensor) -> Tensor:
    """Share of the targets' variance that the values explain, at most 1; 0 where the targets are all equal."""
    spread = targets.var(unbiased=False)
    share: Tensor = torch.where(spread > 0, 1 - (targets - values).var(unbiased=False) / spread, 0.0)
    return share
