"""Movies while they are being taken: sources of frames, and the loop that labels them as they come."""

from emreel.stream.errors import StreamError
from emreel.stream.events import ClassPresence, Event, LabelledFrame, Listener, NewPhase, read_events
from emreel.stream.fitting import Fitting
from emreel.stream.folder import FolderSource
from emreel.stream.fronts import LiveFronts
from emreel.stream.growing import GrowingFile, GrowingZarr
from emreel.stream.lanes import Policy
from emreel.stream.opening import open_source
from emreel.stream.replay import Replay
from emreel.stream.source import Arrival, FrameSource, PushedFrames, Resumable
from emreel.stream.watch import Watching, default_listeners, watch

__all__ = [
    "Arrival",
    "ClassPresence",
    "Event",
    "Fitting",
    "FolderSource",
    "FrameSource",
    "GrowingFile",
    "GrowingZarr",
    "LabelledFrame",
    "Listener",
    "LiveFronts",
    "NewPhase",
    "Policy",
    "PushedFrames",
    "Replay",
    "Resumable",
    "StreamError",
    "Watching",
    "default_listeners",
    "open_source",
    "read_events",
    "watch",
]
