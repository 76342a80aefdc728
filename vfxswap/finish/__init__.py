"""The finish: what a lens, a shutter and a sensor did to the plate, done to the face.

`patches` measures the plate's grain, `grain` makes more of it; `sharpness` measures how soft the plate is and makes the
face as soft; `motion` blurs the face along its way while the shutter was open.
"""
