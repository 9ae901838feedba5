"""Cross-entropy over the target vocabulary, without ever holding the logits of a whole batch.

It computes the same as `nmt.training.loss.token_loss`, and the gradient. X is the number of tokens in a chunk of the M
real target tokens of a batch.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nmt.model.output import OutputLayer

# Logits held at a time. On a CPU a chunk should fit into the last-level cache; a GPU needs few, large matmuls.
CHUNK_LOGITS = {"cpu": 4_000_000, "cuda": 400_000_000}


def chunked_token_loss(
    hidden_MH: Tensor, output: OutputLayer, token_M: Tensor, *, label_smoothing: float, scale: float
) -> tuple[Tensor, Tensor]:
    """Return objective and nll of `nmt.training.loss.TokenLoss`.

    Memory does not grow with M × V. Backward may be called only once.
    """
    needs_grad = torch.is_grad_enabled()  # inside `forward` gradients are always off
    objective, nll = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_MH, output.weight, output.bias, token_M, label_smoothing, scale, needs_grad
    )
    return objective, nll


class _Gradients(NamedTuple):
    """The gradients of the objective over `scale`, filled chunk by chunk."""

    hidden_MH: Tensor
    weight_VH: Tensor
    bias_V: Tensor

    def backpropagate(
        self, chunk: slice, grad_logits_XV: Tensor, hidden_XH: Tensor, weight_VH: Tensor, *, dtype: torch.dtype
    ) -> None:
        """Backpropagate the gradient with respect to the logits of a chunk to its states and to the output layer."""
        self.bias_V.add_(grad_logits_XV.sum(0))
        grad_logits_XV = grad_logits_XV.to(dtype)
        self.hidden_MH[chunk] = grad_logits_XV @ weight_VH
        if dtype == self.weight_VH.dtype:
            self.weight_VH.addmm_(grad_logits_XV.t(), hidden_XH)
        else:
            self.weight_VH.add_(grad_logits_XV.t() @ hidden_XH)


class _LinearCrossEntropy(torch.autograd.Function):
    """Output layer, softmax and cross-entropy, chunk by chunk, with the gradients computed in the forward pass.

    The gradient of the loss with respect to the logits is `softmax - target`. It is known as soon as the logits are, so
    that neither logits nor probabilities are kept for the backward pass.
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
        exact = torch.promote_types(dtype, torch.float32)
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
                hidden_XH, token_X1 = hidden_MH[chunk].to(dtype), token_M[chunk].unsqueeze(1)
                logits_XV = F.linear(hidden_XH, weight, bias)
                if device_type == "cpu":  # which is slower over bf16; a GPU then reads half as much
                    logits_XV = logits_XV.to(exact)
                target_logit_X = logits_XV.gather(1, token_X1).squeeze(1).to(exact)
                mean_logit_X = logits_XV.mean(1, dtype=exact) if label_smoothing else target_logit_X
                prob_XV = torch.softmax(logits_XV, dim=1, dtype=exact)
                # The most likely token has p >= 1/V, so that its logarithm is safe and yields the normalizer.
                logsumexp_X = logits_XV.amax(1).to(exact) - prob_XV.amax(1).log()
                nll += (logsumexp_X - target_logit_X).sum(dtype=nll.dtype)
                uniform_nll += (logsumexp_X - mean_logit_X).sum(dtype=nll.dtype)
                if gradients is not None:
                    _to_gradient(prob_XV, token_X1, label_smoothing=label_smoothing)
                    gradients.backpropagate(chunk, prob_XV, hidden_XH, weight, dtype=dtype)
        if gradients is not None:
            ctx.gradients, ctx.scale = gradients, scale
        objective = scale * ((1 - label_smoothing) * nll + label_smoothing * uniform_nll)
        ctx.mark_non_differentiable(nll)
        return objective, nll

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients times that of the objective."""
        grad_objective = grad_outputs[0]
        gradients: _Gradients = ctx.gradients
        # returned only once: a tensor without other references becomes the parameter's gradient without a copy
        del ctx.gradients
        for gradient in gradients:
            gradient.mul_(ctx.scale * grad_objective)
        return *gradients, None, None, None, None


def _to_gradient(prob_XV: Tensor, token_X1: Tensor, *, label_smoothing: float) -> None:
    """Turn probabilities, in place, into the gradient of the loss with respect to the logits: `softmax - target`."""
    if label_smoothing:
        prob_XV.sub_(label_smoothing / prob_XV.shape[1])
    prob_XV.scatter_add_(1, token_X1, torch.full_like(token_X1, label_smoothing - 1, dtype=prob_XV.dtype))
