"""The surroundings that must be equal for equal bytes."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from burnish.models.learner import Placed
from burnish.records.run import Environment


def environment(learner: Placed) -> Environment:
    """What must be equal for equal bytes, read off this process."""
    because = learner.layout.padded_because
    return Environment(
        burnish=version("burnish"),
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=version("transformers"),
        machine=f"{platform.system()} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        device=str(learner.device),
        threads=torch.get_num_threads(),
        precision=learner.precision,
        attention=learner.layout.body,
        rows="packed" if because is None else f"padded: {because}",
    )
