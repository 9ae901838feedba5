"""Cross-entropy over the target vocabulary, without ever holding the logits of a whole batch.

Shapes: M real target tokens of a batch, C tokens of a chunk, H units, V target vocabulary.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

# Logits held at a time. On a CPU a chunk should stay in the last-level cache; a GPU wants few, large products.
CHUNK_LOGITS = {"cpu": 4_000_000, "cuda": 200_000_000}


class TokenLoss(NamedTuple):
    """Sums over the tokens of a batch, in nats.

    Attributes:
        objective: what training minimizes: the smoothed cross-entropy times `scale`; carries the gradient.
        nll: the negative log-likelihood, neither smoothed nor scaled, for reporting.
    """

    objective: Tensor
    nll: Tensor


class _Gradients(NamedTuple):
    """The gradients of the objective, filled chunk by chunk."""

    hidden_MH: Tensor
    weight_VH: Tensor
    bias_V: Tensor

    def take_in(
        self, chunk: slice, grad_logits_CV: Tensor, hidden_CH: Tensor, weight_VH: Tensor, *, dtype: torch.dtype
    ) -> None:
        """Carry the gradient by the logits of a chunk back to its states and to the output layer."""
        self.bias_V.add_(grad_logits_CV.sum(0))
        grad_logits_CV = grad_logits_CV.to(dtype)
        self.hidden_MH[chunk] = grad_logits_CV @ weight_VH
        if dtype == self.weight_VH.dtype:
            self.weight_VH.addmm_(grad_logits_CV.t(), hidden_CH)
        else:
            self.weight_VH.add_(grad_logits_CV.t() @ hidden_CH)


class _LinearCrossEntropy(torch.autograd.Function):
    """Output layer, softmax and cross-entropy, chunk by chunk, with the gradients taken in the forward pass.

    The gradient of the loss by the logits is `softmax - target`, known as soon as the logits are, so that neither
    logits nor probabilities have to be kept for a backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor,
        token_M: Tensor,
        label_smoothing: float,
        scale: float,
        needs_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        device_type = hidden_MH.device.type
        autocast = torch.is_autocast_enabled(device_type)
        dtype = torch.get_autocast_dtype(device_type) if autocast else hidden_MH.dtype
        chunk_tokens = max(1, CHUNK_LOGITS.get(device_type, CHUNK_LOGITS["cpu"]) // weight_VH.shape[0])
        gradients = None
        if needs_grad:
            gradients = _Gradients(torch.empty_like(hidden_MH), torch.zeros_like(weight_VH), torch.zeros_like(bias_V))
        nll = hidden_MH.new_zeros((), dtype=torch.float64 if device_type == "cpu" else torch.float32)
        uniform_nll = torch.zeros_like(nll)
        with torch.autocast(device_type, enabled=False):
            weight, bias = weight_VH.to(dtype), bias_V.to(dtype)
            for start in range(0, len(token_M), chunk_tokens):
                chunk = slice(start, start + chunk_tokens)
                hidden_CH, token_C1 = hidden_MH[chunk].to(dtype), token_M[chunk].unsqueeze(1)
                logits_CV = F.linear(hidden_CH, weight, bias).to(torch.promote_types(dtype, torch.float32))
                target_logit_C = logits_CV.gather(1, token_C1).squeeze(1)
                mean_logit_C = logits_CV.mean(1) if label_smoothing else target_logit_C
                prob_CV = torch.softmax(logits_CV, dim=1)
                # The likeliest word has p >= 1/V, so that its logarithm is safe and gives the normalizer.
                logsumexp_C = logits_CV.amax(1) - prob_CV.amax(1).log()
                nll += (logsumexp_C - target_logit_C).sum(dtype=nll.dtype)
                uniform_nll += (logsumexp_C - mean_logit_C).sum(dtype=nll.dtype)
                if gradients is not None:
                    _to_gradient(prob_CV, token_C1, label_smoothing=label_smoothing, scale=scale)
                    gradients.take_in(chunk, prob_CV, hidden_CH, weight, dtype=dtype)
        if gradients is not None:
            ctx.gradients = gradients
        objective = scale * ((1 - label_smoothing) * nll + label_smoothing * uniform_nll)
        ctx.mark_non_differentiable(nll)
        return objective, nll

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients times that of the objective, which is 1 when `backward` is called on the objective."""
        grad_objective = grad_outputs[0]
        gradients: _Gradients = ctx.gradients
        # given away, and only once: what nothing else holds becomes the parameter's gradient without a copy
        del ctx.gradients
        if grad_objective.device.type != "cpu" or grad_objective != 1:  # a look would wait for a GPU
            for gradient in gradients:
                gradient.mul_(grad_objective)
        return *gradients, None, None, None, None


def _to_gradient(prob_CV: Tensor, token_C1: Tensor, *, label_smoothing: float, scale: float) -> None:
    """Turn probabilities, in place, into the gradient of the scaled loss by the logits: `softmax - target`."""
    if label_smoothing:
        prob_CV.sub_(label_smoothing / prob_CV.shape[1])
    prob_CV.scatter_add_(1, token_C1, torch.full_like(token_C1, label_smoothing - 1, dtype=prob_CV.dtype))
    prob_CV.mul_(scale)


def token_loss(
    hidden_MH: Tensor, output: nn.Linear, token_M: Tensor, *, label_smoothing: float, scale: float
) -> TokenLoss:
    """Compute the cross-entropy of real target tokens; padding must be gone already.

    With label smoothing ε the target distribution is 1 - ε on the token plus ε/V on every word (Szegedy et al. 2016,
    §7). Memory does not grow with M × V. On a CPU a factor costs less in `scale` than on the objective, and a gradient
    can be taken but once.
    """
    needs_grad = torch.is_grad_enabled()  # asked here: inside of `forward` gradients are always off
    return TokenLoss(
        *_LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden_MH, output.weight, output.bias, token_M, label_smoothing, scale, needs_grad
        )
    )
