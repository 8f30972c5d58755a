"""Logistic regression's minimum, for many targets that share their examples."""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

MAX_STEPS = 1000  # conjugate gradient steps; activations of MiniLM need 5 (l2 1) to 21 (l2 1e-5)


def minimise_log_loss(
    x: Float[Tensor, "batch dim"], y: Float[Tensor, "target batch"], l2: float, tolerance: float
) -> Float[Tensor, "target dim"]:
    """Minimise mean log-loss + l2/2 ‖theta‖² for all targets; the last column of x is 1 and not penalised.

    Conjugate gradients (Polak-Ribière), preconditioned with a bound of every logistic Hessian, whatever the labels:
    x'x / (4 batch) + l2 (Böhning & Lindsay 1988). One factorisation, then two matrix products a step for all targets.
    """
    n, eps = len(x), torch.finfo(x.dtype).eps
    penalty = torch.full_like(x[0], l2)  # [dim]
    penalty[-1] = 0
    bound = x.T @ x / (4 * n)  # of all examples: a sample is cheaper, but misses outliers, and steps diverge
    bound.diagonal().add_(penalty + 10 * eps * bound.trace())  # the last term outweighs rounding; it moves no minimum
    factor = torch.linalg.cholesky(bound.double()).to(x.dtype)

    found = torch.zeros(len(y), x.shape[1], dtype=x.dtype, device=x.device)
    grad_at_zero = (0.5 - y) @ x[:, :-1] / n
    limit = tolerance * grad_at_zero.norm(dim=1).clamp(min=0.1)  # chance gives about sqrt(d_model / 4 batch)
    running = torch.arange(len(y), device=x.device)  # only these targets are in what follows; the others have converged
    theta, logits = found.clone(), torch.zeros_like(y)
    p, slope = torch.empty_like(y), torch.empty_like(y)  # work space: what is as large as y is not allocated twice
    direction, last_grad, last_gain = torch.zeros_like(found), torch.zeros_like(found), torch.ones_like(limit)
    for _ in range(MAX_STEPS):
        torch.sigmoid(logits, out=p)  # [target batch]
        grad = torch.sub(p, y, out=slope) @ x / n + penalty * theta  # [target dim]
        found[running] = theta
        going = grad.norm(dim=1) > limit
        if not going.any():
            return found
        if not going.all():
            state = (running, limit, y, logits, p, theta, grad, direction, last_grad, last_gain)
            running, limit, y, logits, p, theta, grad, direction, last_grad, last_gain = (s[going] for s in state)
            slope = slope[: len(running)]
        scaled = torch.cholesky_solve(grad.T, factor).T  # [target dim]
        momentum = (((grad - last_grad) * scaled).sum(dim=1) / last_gain).clamp(min=0)
        direction = momentum[:, None] * direction - scaled
        last_grad, last_gain = grad, (grad * scaled).sum(dim=1)
        # Newton's step along the line: the curvature is greatest at theta 0, so from there it errs on the short side
        torch.mm(direction, x.T, out=slope)  # [target batch]: how fast the logits move
        curvature = p.addcmul_(p, p, value=-1).mul_(slope).mul_(slope).mean(dim=1)
        step = -(grad * direction).sum(dim=1) / (curvature + (penalty * direction.square()).sum(dim=1))
        theta, logits = theta + step[:, None] * direction, logits.addcmul_(slope, step[:, None])
    warnings.warn(
        f"{len(running)} of {len(found)} targets have not converged after {MAX_STEPS} steps, the first is target "
        f"{int(running[0])}; raise l2 (now {l2:g}) or look for outliers in acts",
        category=RuntimeWarning,
        stacklevel=4,  # whoever called the fitter, which torch.no_grad wraps
    )
    return found
