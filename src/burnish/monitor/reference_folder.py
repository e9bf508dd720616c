"""A reference at rest: its files, and what is wrong with them. Needs no arrays."""

from __future__ import annotations

import json
from pathlib import Path

from burnish.store.manifest import verify_folder

FILE = "reference.safetensors"
OWNER = "reference.json"


def reference_fault(folder: Path) -> str | None:
    """What is wrong with a reference, None when nothing is; that of another bundle is wrong too."""
    if problems := verify_folder(folder):
        return problems[0].what
    try:
        owner = json.loads((folder / OWNER).read_bytes())
    except (OSError, ValueError):
        return "it does not say whose it is: an earlier version of Burnish made it"
    whose = owner.get("bundle_id") if isinstance(owner, dict) else None
    return None if whose == folder.name else f"it is the reference of bundle {whose}"
