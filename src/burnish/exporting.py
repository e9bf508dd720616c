"""Export a version: from the ledger's name to a folder that others read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.project import Edge, Project

if TYPE_CHECKING:
    from burnish.records.deployment import Export


def export_model(
    project: Project,
    edge: Edge,
    target: Path,
    *,
    version: str | None = None,
    format: str = "safetensors",
    weights: str | None = None,
    python: Path | None = None,
) -> Export:
    """Write a version (None: the live one) to a new folder; it is verified first, and asked its golden rows again after.

    `python` is the interpreter of the environment that holds a converter, None this one.

    Raises: nothing-live, version-unknown, the codes of open_any and of deploy/export.py.
    """
    from burnish.deploy.export import export_version
    from burnish.deploy.versions import open_version
    from burnish.models.cached_base import find_cached

    found = open_version(project.workspace, project.task.name, version=version)
    return export_version(
        found.deployment,
        found.opened,
        project.workspace.bundles / found.deployment.bundle_id,
        target,
        format=format,
        weights=weights,
        python=python or Path(sys.executable),
        base_folder=lambda sha256: find_cached(edge.cache, sha256=sha256),
        announce=edge.announce,
        at=edge.now(),
    )
