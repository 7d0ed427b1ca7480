"""Parameters that a network holds but never uses, which would stop training on several GPUs."""

from __future__ import annotations

from torch import Tensor, nn


def freeze_unused(network: nn.Module, *inputs: Tensor) -> list[str]:
    """Take the parameters out of training that have no part in the output, such as a backbone's old head; returns their names.

    Distributed training waits for the gradient of every trainable parameter. Costs one forward and one backward pass.
    """
    training = network.training
    network.eval()(*inputs).sum().backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.requires_grad and parameter.grad is None]
    for name in unused:
        network.get_parameter(name).requires_grad_(False)
    network.zero_grad(set_to_none=True)
    network.train(training)
    return unused
