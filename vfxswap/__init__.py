"""vfxswap: consented, performer-specific face replacement in scene-linear light."""

import os

__version__ = "0.1.0"

# Nothing phones home. ONNX Runtime's own packages, from 1.29 on, write a device id and send what they run to their
# maker, from the moment that they are loaded, unless this is set before: so it stands where every import passes.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
