"""Multi-timescale learning on top of any of RLlib's torch learners."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from ray.rllib.core import ALL_MODULES
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from invrec_rllib.errors import InputError
from invrec_rllib.rllib import loss_scale, timescale_restore
from invrec_rllib.rllib.replicas import GradientAverage, average_figures, share_buffers, without_ddp
from invrec_rllib.rllib.timescale_control import SpeedControl
from invrec_rllib.rllib.timescale_meter import norm_of
from invrec_rllib.rllib.timescale_parts import assign_to_parts
from invrec_rllib.timescales import Timescales

CONFIG_KEY = "timescales"
_STATE = "timescales"
SEPARATION = "separation"


class MultiTimescaleMixin(TorchLearner):
    """Lets every declared part of every module learn at its own speed; put it before the learner's class.

    Reads `Timescales` (or their data) from ``config.learner_config_dict["timescales"]``; without them, and for
    modules that they do not name, step sizes are RLlib's own. Losses, connectors, minibatches and epochs are not
    touched. What changes:

    - A module whose algorithm gives it RLlib's one default optimizer gets one Adam per part; an algorithm with
      optimizers of its own (SAC: `qf`, `qf_twin`, `policy`, `alpha`) keeps them, and these are what parts take.
      Gradients are therefore clipped per part, as RLlib clips per optimizer.
    - Step sizes and gates are set before each gradient step. A part whose gate is closed keeps its parameters and
      its optimizer's moments, and its policy's KL coefficient is not adapted.
    - With several learners, gradients are averaged in one flat all-reduce in an order fixed beforehand, in place
      of DDP's; see `invrec_rllib.rllib.replicas`.
    - Checkpoints hold where every part stands, KL coefficients, SAC's temperature, the counters of target
      networks and the process' random states.

    Metrics, per module: ``<part>_learning_rate``, ``<part>_effective_step`` (norm of the change over an update
    over the norm of the parameters), ``<part>_gradient_norm`` (of the update's first minibatch, before clipping),
    ``<part>_drift_factor`` where there is a budget, ``kl_drift`` (of one update, in nats, where the module
    has a policy); and for all modules ``separation/<slow>_over_<fast>``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]  # Ray's
        # IMPALA and APPO learn in a thread of their own while the actor is asked for its state.
        self._speeds_lock = threading.RLock()

    def build(self) -> None:
        """Build the learner.

        Raises:
            InputError: the timescales name modules, parts or parameters that do not exist, or leave some out.
        """
        if self._is_built:
            return
        declared = self.config.learner_config_dict.get(CONFIG_KEY)
        self._speeds = SpeedControl(None if declared is None else Timescales.from_data(declared))
        self._gradient_average: GradientAverage | None = None
        super().build()

    def configure_optimizers(self) -> None:
        """Make or take charge of all optimizers; then every declared module must exist."""
        super().configure_optimizers()
        self._speeds.check_modules(list(self.module.keys()))

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """One optimizer per part where RLlib would make one for all; else the algorithm's, at our step sizes."""
        self._gradient_average = None
        if not self._speeds.declared(module_id):
            super().configure_optimizers_for_module(module_id, config)
            return
        if self._module_optimizers.get(module_id):
            # RLlib asks again for a checkpoint with optimizers of other names, and would step all of ours twice.
            return
        inherited: Any = super().configure_optimizers_for_module
        if inherited.__func__ is TorchLearner.configure_optimizers_for_module:
            self._make_optimizers(module_id)
        else:
            inherited(module_id, config)
            self._take_over_optimizers(module_id)

    def _make_optimizers(self, module_id: str) -> None:
        module: Any = self.module[module_id].unwrapped()
        for name, parameters in self._speeds.split(module, module_id).items():
            part = self._speeds.declared(module_id)[name]
            # Fused: a step is one call, however many parameters; the figures are those of RLlib's Adam.
            optimizer = torch.optim.Adam(parameters, lr=part.schedule(0), fused=True)
            self._speeds.add(module_id, name, part=part, optimizer=optimizer, parameters=parameters)
            self.register_optimizer(
                module_id=module_id, optimizer_name=name, optimizer=optimizer, params=parameters
            )

    def _take_over_optimizers(self, module_id: str) -> None:
        optimizers = dict(self.get_optimizers_for_module(module_id))
        parts = self._speeds.declared(module_id)
        assigned = assign_to_parts(
            {name: [name] for name in optimizers}, parts, where=f"optimizers of module {module_id!r}"
        )
        for part, names in assigned.items():
            for name in names:
                optimizer = optimizers[name]
                # The learner's own table of schedules: without an entry, RLlib leaves the step size to others.
                self._optimizer_lr_schedules.pop(optimizer, None)
                parameters = list(self._optimizer_parameters[optimizer])
                self._speeds.add(
                    module_id, name, part=parts[part], optimizer=optimizer, parameters=parameters
                )

    def add_module(self, *, module_id: str, **kwargs: Any) -> Any:
        """Add a module; it follows the parts of "*", if these are declared, else RLlib's step size."""
        with self._speeds_lock:
            spec = super().add_module(module_id=module_id, **kwargs)
            self._gradient_average = None
            timescale_restore.keep_optimized_temperature(self, module_id)
        # SAC's learner forgets to return it, and the configuration of the learner group would lose its modules.
        return self.config.rl_module_spec if spec is None else spec

    def remove_module(self, module_id: str, **kwargs: Any) -> Any:
        """Remove a module and its parts."""
        with self._speeds_lock:
            spec = super().remove_module(module_id, **kwargs)
            self._speeds.drop_module(module_id)
            self._gradient_average = None
        return spec

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Remember where parameters are before the update."""
        super().before_gradient_based_update(timesteps=timesteps)
        with self._speeds_lock:
            self._speeds.start_update()

    def _update(self, batch: dict[str, Any], **kwargs: Any) -> Any:
        # Private, for lack of a public method around both passes. Modules in sorted order: RLlib's depends on
        # the hash seed of the process, and with it the order of random draws, and of DDP's sync of buffers.
        with self._speeds_lock, without_ddp(self._modules()):
            result = super()._update({mid: batch[mid] for mid in sorted(batch)}, **kwargs)
            if self.distributed:
                share_buffers(self._modules())
            return result

    def _modules(self) -> list[Any]:
        return [self.module[mid] for mid in sorted(self.module.keys())]

    def _create_iterator_if_necessary(self, **kwargs: Any) -> Any:
        # Private, for lack of a public place where the minibatches of an update are known.
        minibatches = super()._create_iterator_if_necessary(**kwargs)
        self._one_minibatch = not kwargs.get("minibatch_size") and kwargs.get("num_epochs", 1) == 1
        if self.distributed and minibatches == {}:
            # Nothing to learn from here; the other learners may have something, and would wait for ever.
            self._average().end_update()
        return minibatches

    def compute_losses(self, *, fwd_out: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        """The algorithm's losses; at the first minibatch of an update, note the policy before it."""
        losses: dict[str, Any] = super().compute_losses(fwd_out=fwd_out, batch=batch)
        for mid in fwd_out:
            self._speeds.see_policy(mid, self.module[mid].unwrapped(), batch=batch[mid], fwd_out=fwd_out[mid])
        return losses

    def compute_gradients(self, loss_per_module: dict[str, Any], **kwargs: Any) -> dict[Any, Any]:
        """The algorithm's gradients; with several learners their average, with mixed precision unscaled."""
        found = super().compute_gradients(loss_per_module, **kwargs)
        gradients: dict[Any, Any] = {ref: gradient for ref, gradient in found.items() if gradient is not None}
        if self.distributed:
            gradients = self._average()(gradients)
        if self._grad_scalers is not None:
            loss_scale.unscale(self._grad_scalers, self._optimizers(), gradients=gradients)
        return gradients

    def _average(self) -> GradientAverage:
        if self._gradient_average is None:
            groups = [
                [parameter for name in sorted(names) for parameter in self._parameters_of(name)]
                for _, names in sorted(self._module_optimizers.items())
            ]
            self._gradient_average = GradientAverage(groups)
        return self._gradient_average

    def _parameters_of(self, optimizer_name: str) -> list[Any]:
        return list(self._optimizer_parameters[self._named_optimizers[optimizer_name]])

    def postprocess_gradients_for_module(
        self, *, module_id: str, config: Any = None, module_gradients_dict: dict[Any, Any]
    ) -> dict[Any, Any]:
        """Clip each part by its own bound, where it declares one; the others as the algorithm would."""
        self._speeds.measure_gradients(module_id, module_gradients_dict)
        own: dict[Any, Any] = {}
        for entry in self._speeds.of_module(module_id):
            bound = entry.clock.part.grad_clip
            mine = self.filter_param_dict_for_optimizer(module_gradients_dict, entry.optimizer)
            if bound is not None and mine:
                self._get_clip_function()(mine, grad_clip=bound, grad_clip_by="global_norm")
                own.update(mine)
        others = {ref: gradient for ref, gradient in module_gradients_dict.items() if ref not in own}
        clipped = super().postprocess_gradients_for_module(
            module_id=module_id, config=config, module_gradients_dict=others
        )
        # RLlib returns nothing if it only logs norms; gradients that are missing would count as absent here.
        return {**others, **clipped, **own}

    def apply_gradients(self, gradients_dict: dict[Any, Any]) -> None:
        """Step the parts whose gates are open, at their step sizes; the others, moments included, stay."""
        stepping = self._speeds.open_gates(gradients_dict)
        closed = {
            parameter for entry in self._speeds if entry not in stepping for parameter in entry.parameters
        }
        kept = {ref: gradient for ref, gradient in gradients_dict.items() if ref not in closed}
        self._forget_stale_gradients(kept)
        inherited: Any = super().apply_gradients
        if self._grad_scalers is not None:
            scales = loss_scale.step(self._grad_scalers, self._optimizers(), gradients=kept)
            for module_id, scale in scales.items():
                self.metrics.log_value((module_id, "_torch_grad_scaler_current_scale"), scale, window=1)
        elif inherited.__func__ is TorchLearner.apply_gradients and self._is_plain_step(kept):
            self._step(kept)
        else:
            inherited(kept)
        for entry in stepping:
            entry.clock.count_step()

    def _is_plain_step(self, gradients: Mapping[Any, Any]) -> bool:
        """Whether RLlib would step all optimizers and do no more: it looks at every gradient twice to find that out."""
        if self._lr_scheduler_classes is not None:
            return False
        return not gradients or bool(norm_of(list(gradients.values())).isfinite())

    def _step(self, gradients: Mapping[Any, Any]) -> None:
        for ref, gradient in gradients.items():
            self._params[ref].grad = gradient
        for optimizers in self._optimizers().values():
            for optimizer in optimizers:
                optimizer.step()

    def _forget_stale_gradients(self, kept: Mapping[Any, Any]) -> None:
        """Optimizers skip parameters without gradient; what an earlier minibatch left would be applied again."""
        for module_id, names in self._module_optimizers.items():
            if module_id != ALL_MODULES:
                for name in names:
                    for parameter in self._parameters_of(name):
                        if parameter not in kept:
                            parameter.grad = None

    def _optimizers(self) -> dict[str, list[Any]]:
        return {
            module_id: [self._named_optimizers[name] for name in names]
            for module_id, names in self._module_optimizers.items()
        }

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Log what the update did, let the algorithm do what it does then, and count the update."""
        with self._speeds_lock:
            if self.distributed and not self._one_minibatch:
                self._average().end_update()
            average = partial(average_figures, device=self.device) if self.distributed else list
            for key, value in self._speeds.finish_update(average).items():
                self.metrics.log_value(key, value, window=1)
            for name, ratio in self._speeds.separations().items():
                self.metrics.log_value((ALL_MODULES, SEPARATION, name), ratio, window=1)
            super().after_gradient_based_update(timesteps=timesteps)
            self._speeds.end_update(int(timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)))

    def _update_module_kl_coeff(self, **kwargs: Any) -> None:
        # Of PPO and APPO. A policy that did not step has no divergence, and that would halve the coefficient.
        if self._speeds.policy_stepped(kwargs["module_id"]):
            base: Any = super()
            base._update_module_kl_coeff(**kwargs)

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """State of the learner, of one moment even while a thread is learning."""
        with self._speeds_lock:
            state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
            if self._check_component(_STATE, components, not_components):
                state[_STATE] = {
                    "speeds": self._speeds.to_state(),
                    "learner": timescale_restore.collect(self),
                }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was called; states of other learners lack our part and are taken as they are."""
        with self._speeds_lock:
            super().set_state(state)
            own = state.get(_STATE)
            if own is not None:
                self._speeds.load_state(own["speeds"])
                timescale_restore.put_back(self, own["learner"], env_steps=self._speeds.env_steps)


_CLASSES: dict[type[TorchLearner], type[MultiTimescaleMixin]] = {}
_PREFIX = "multi_timescale("


def multi_timescale(learner_class: type[Learner]) -> type[MultiTimescaleMixin]:
    """A learner class with many timescales; the same argument gives the same class.

    The class is found again by name in any process that can import `learner_class`, so it may be pickled, sent to
    remote learners and named in checkpoints.

    Args:
        learner_class: any of RLlib's torch learners, or one derived from it.

    Raises:
        InputError: it is no torch learner.
    """
    if not (isinstance(learner_class, type) and issubclass(learner_class, TorchLearner)):
        raise InputError(f"learner_class must be derived from RLlib's TorchLearner, got {learner_class!r}")
    if issubclass(learner_class, MultiTimescaleMixin):
        return learner_class
    if learner_class not in _CLASSES:
        _CLASSES[learner_class] = _combine(learner_class)
    return _CLASSES[learner_class]


def _combine(base: type[TorchLearner]) -> type[MultiTimescaleMixin]:
    namespace: dict[str, Any] = {"__doc__": MultiTimescaleMixin.__doc__, "__module__": base.__module__}
    if _importable(base):
        # Pickle looks a class up by module and qualified name: `__getattr__` below answers. It takes dots for
        # attributes of attributes, so the path is written without.
        path = f"{base.__module__}:{base.__qualname__}".replace(".", "/")
        namespace.update(__module__=__name__, __qualname__=f"{_PREFIX}{path})")
    return type(f"MultiTimescale{base.__name__}", (MultiTimescaleMixin, base), namespace)


def _importable(cls: type) -> bool:
    if cls.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is cls


def __getattr__(name: str) -> Any:
    """Classes that `multi_timescale` made, by the name under which they are pickled."""
    if not (name.startswith(_PREFIX) and name.endswith(")")):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, qualified = name[len(_PREFIX) : -1].replace("/", ".").partition(":")
    found: Any = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return multi_timescale(found)
