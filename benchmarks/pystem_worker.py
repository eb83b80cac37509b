"""Runs inside pySTEM's environment: a request a line on stdin, its CPU time a line on stdout."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from pystem.stemdescriptor import get_descriptor

for line in sys.stdin:
    request = json.loads(line)
    frame = np.load(request["frame"])
    patch, window = request["patch_px"], request["window_px"]
    start = time.process_time()
    features, _ = get_descriptor(
        frame, patch, patch, window, window, request["max_shifts"], step=request["stride"], method=request["method"]
    )
    cpu_s = time.process_time() - start
    np.save(request["output"], features)
    print(json.dumps({"cpu_s": cpu_s}), flush=True)
