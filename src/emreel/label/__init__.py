"""Label every frame with a fitted model: a whole movie into a result on disk, or a stream frame by frame.

Both end in the same calls of the model, so stream and batch agree to the bit.
"""

from emreel.label.batch import label_movie, repair_result
from emreel.label.layout import frames_per_block
from emreel.label.rows import frame_row
from emreel.label.streaming import label_stream

__all__ = ["frame_row", "frames_per_block", "label_movie", "label_stream", "repair_result"]
