"""Policy search by pathwise gradients: the world again in torch, differentiable through stock and tastes."""
