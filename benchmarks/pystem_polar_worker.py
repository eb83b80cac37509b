"""Runs inside pySTEM's environment: a request a line on stdin, its CPU time a line on stdout.

A request asks for rotation and reflection together: the pooled features, or the scores before pooling.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from pystem import stemreflection_symmetry_descriptors as reflection
from pystem import stemrotational_symmetry_descriptors as rotation

for line in sys.stdin:
    request = json.loads(line)
    frame = np.load(request["frame"])
    radius, window, step = request["radius_px"], request["window_px"], request["step_px"]
    rings = {"radius": radius, "nr": request["radii"], "nt": request["angles"]}
    start = time.process_time()
    if request["method"] == "scores":
        turned = rotation.image_rotational_symmetry(frame, step=step, **rings)
        mirrored = reflection.image_reflection_symmetry(frame, step=step, **rings)
        inner = slice(radius, -radius, step)
        out = np.concatenate([turned[inner, inner], mirrored[inner, inner]], axis=-1)
    else:
        pool = {"window_x": window, "window_y": window, "num_max": request["largest"], "step_symmetry_analysis": step}
        out = np.concatenate(
            [
                rotation.get_rotational_symmetry_descriptors(frame, **rings, **pool),
                reflection.get_reflection_symmetry_descriptors(frame, **rings, **pool),
            ],
            axis=-1,
        )
    cpu_s = time.process_time() - start
    np.save(request["output"], out)
    print(json.dumps({"cpu_s": cpu_s}), flush=True)
