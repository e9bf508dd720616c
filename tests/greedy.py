"""For tests: layers that ask torch's allocator for more than any machine has, when a pass is larger than so many tokens.

The error is the allocator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

# Beyond the address space of any machine.
ABSURD_BYTES = 1 << 60


def ask(value: Tensor) -> None:
    """Ask for more memory than there is."""
    del value
    torch.empty(ABSURD_BYTES, dtype=torch.uint8)


@contextmanager
def greedy(
    tokens: int,
    *,
    training: bool = True,
    backward: bool = False,
    when: Callable[[], bool] = lambda: True,
) -> Iterator[list[int]]:
    """In this block a linear layer finds no memory for more than `tokens` inputs, in its forward or backward pass.

    Only while `training` (else only outside of it) and `when` says so. Yields the sizes that failed.
    """
    failed: list[int] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not isinstance(module, nn.Linear) or module.training is not training:
            return
        count = inputs[0].numel() // inputs[0].shape[-1]
        if count <= tokens or not when():
            return
        if not backward:
            failed.append(count)
            ask(output)
        elif output.requires_grad:
            output.register_hook(lambda gradient: (failed.append(count), ask(gradient))[1])

    handle = register_module_forward_hook(hook)
    try:
        yield failed
    finally:
        handle.remove()
