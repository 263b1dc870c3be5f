"""What the scripts that make the demo's models share: an optimiser for short runs on a CPU, a schedule, a clock."""

import math
import time

import torch


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton-Schulz steps in fp32 (torch's own works in bf16, which old CPUs emulate
    slowly).

    The step's size follows torch.optim.Muon with `match_rms_adamw`, so rates compare with AdamW's."""

    def __init__(self, matrices, lr: float, weight_decay: float = 0.05, momentum: float = 0.95):
        super().__init__(matrices, dict(lr=lr, weight_decay=weight_decay, momentum=momentum))

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            alike: dict[torch.Size, list] = {}
            for weight in group["params"]:
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 1 - group["momentum"])
                alike.setdefault(weight.shape, []).append((weight, weight.grad.lerp(momentum, group["momentum"])))
            for (rows, columns), pairs in alike.items():
                update = torch.stack([u if rows <= columns else u.T for _, u in pairs])
                update /= update.norm(dim=(1, 2), keepdim=True) + 1e-7
                for _ in range(4):
                    gram = update @ update.mT
                    update = 3.4445 * update + (-4.7750 * gram + 2.0315 * gram @ gram) @ update
                for (weight, _), u in zip(pairs, update, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(u if rows <= columns else u.T, alpha=-group["lr"] * 0.2 * math.sqrt(max(rows, columns)))


class Clock:
    """CPU seconds of this process: the budget is the same on a busy machine as on an idle one."""

    def __init__(self, seconds: float):
        self.start, self.wall, self.seconds = time.process_time(), time.time(), seconds

    def share(self) -> float:
        return (time.process_time() - self.start) / self.seconds


def set_rates(optimisers: list[tuple[torch.optim.Optimizer, float]], step: int, done: float, warm_up: int) -> None:
    """Linear warm-up by steps, then a cosine over the share of the time budget that is spent."""
    rate = min(1, (step + 1) / warm_up) * (0.5 * (1 + math.cos(math.pi * min(1.0, done))) + 0.01)
    for optimiser, base in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate * base
