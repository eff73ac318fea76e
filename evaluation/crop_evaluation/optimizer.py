"""Muon: momentum whose matrices are orthogonalised by Newton-Schulz steps (K. Jordan et al., 2024)."""
import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """For matrices of hidden layers; everything else belongs to AdamW."""

    def __init__(self, parameters, lr=0.02, momentum=0.95, weight_decay=0.01):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                update = parameter.grad.add(state["momentum"], alpha=group["momentum"])
                by_shape.setdefault((parameter.shape[0], parameter[0].numel()), []).append((parameter, update))
            for shape, pairs in by_shape.items():
                updates = orthogonal(torch.stack([update.flatten(1) for _, update in pairs]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for (parameter, _), update in zip(pairs, updates):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)


def orthogonal(matrices, steps=5):
    """[batch, m, n] with singular values pushed towards 1."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.transpose(-1, -2) if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(-1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(-1, -2) if tall else x


def optimizers(module, matrix_rate, other_rate):
    """[Muon for the weights of hidden layers, AdamW for embeddings, norms, biases and heads]"""
    muon, adam = [], []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        hidden = parameter.ndim >= 2 and not any(part in name for part in ("embedding", "position", "token", "head", "stem.0"))
        (muon if hidden else adam).append(parameter)
    pair = [Muon(muon, lr=matrix_rate), torch.optim.AdamW(adam, lr=other_rate, betas=(0.9, 0.98), weight_decay=0.01)]
    for optimizer in pair:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return pair


def set_rate(pair, share):
    """Scale both learning rates to `share` of their peaks."""
    for optimizer in pair:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
