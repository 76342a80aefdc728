"""A faceset: aligned crops of ONE performer, with landmarks, masks, pose, exposure and where each came from.

    footage = open_footage("pictures/,stills", config=config)
    made = build(folder, performer="P-0042", plates=footage, grant=grant)
    for crop in made.usable(): rgb, mask = made.load(crop)

Crops that should not be trained on are quarantined with their reasons, never deleted (`quarantine`); the artist's word
(`edit`) stands above that. A crop is wider than the model's frame by `align.FACESET_MARGIN`. Files: `index`.
"""

from __future__ import annotations

from vfxswap.faceset.build import DEFAULT_SIZE, build
from vfxswap.faceset.crops import Crop, PlateRecord, Reason, Verdict
from vfxswap.faceset.cutting import landmarks_in
from vfxswap.faceset.footage import Footage, open_footage
from vfxswap.faceset.identity import expressions, reference, references
from vfxswap.faceset.index import CROPS, EMBEDDINGS, EXPRESSIONS, INDEX, LANDMARKS, SCHEMA, THUMBNAILS, Faceset, load
from vfxswap.faceset.lock import require_compared
from vfxswap.faceset.quarantine import LIMITS, Limits
from vfxswap.faceset.reference_file import measure_reference
from vfxswap.faceset.review import edit
from vfxswap.faceset.sheet import SORTS, write_sheet

__all__ = [
    "CROPS",
    "DEFAULT_SIZE",
    "EMBEDDINGS",
    "EXPRESSIONS",
    "INDEX",
    "LANDMARKS",
    "LIMITS",
    "SCHEMA",
    "SORTS",
    "THUMBNAILS",
    "Crop",
    "Faceset",
    "Footage",
    "Limits",
    "PlateRecord",
    "Reason",
    "Verdict",
    "build",
    "edit",
    "expressions",
    "landmarks_in",
    "load",
    "measure_reference",
    "open_footage",
    "reference",
    "references",
    "require_compared",
    "write_sheet",
]
