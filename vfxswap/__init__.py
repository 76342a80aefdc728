"""vfxswap: consented, performer-specific face replacement in scene-linear light."""

__version__ = "0.1.0"
