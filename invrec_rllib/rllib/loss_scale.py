"""Mixed precision with several optimizers per module.

RLlib clips gradients while they are still scaled, and it updates a module's one scaler after each of the module's
optimizers: the second one then divides by a scale that its gradients were not multiplied by. It also asks the scaler to
step optimizers that have no gradients, which torch refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

OptimizersOf = Mapping[str, Sequence[Optimizer]]


def unscale(scalers: Mapping[str, Any], optimizers: OptimizersOf, *, gradients: Mapping[Any, Tensor]) -> None:
    """Divide gradients by the loss scale, in place, before anything is measured or clipped.

    Args:
        scalers: torch's `GradScaler` by module id.
        optimizers: by module id.
        gradients: by parameter.
    """
    _attach(gradients)
    for module_id, optimizer in _with_gradients(optimizers, gradients):
        scalers[module_id].unscale_(optimizer)


def step(
    scalers: Mapping[str, Any], optimizers: OptimizersOf, *, gradients: Mapping[Any, Tensor]
) -> dict[str, float]:
    """Step the optimizers that have gradients, all of them finite; then update each scaler once.

    Returns:
        Loss scale from now on, by module id.
    """
    _attach(gradients)
    stepped = set()
    for module_id, optimizer in _with_gradients(optimizers, gradients):
        scalers[module_id].step(optimizer)
        stepped.add(module_id)
    for module_id in stepped:
        scalers[module_id].update()
    return {module_id: scalers[module_id].get_scale() for module_id in sorted(stepped)}


def _attach(gradients: Mapping[Any, Tensor]) -> None:
    for parameter, gradient in gradients.items():
        parameter.grad = gradient


def _with_gradients(optimizers: OptimizersOf, gradients: Mapping[Any, Tensor]) -> list[tuple[str, Optimizer]]:
    return [
        (module_id, optimizer)
        for module_id, own in optimizers.items()
        for optimizer in own
        if any(parameter in gradients for group in optimizer.param_groups for parameter in group["params"])
    ]
