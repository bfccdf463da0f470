"""The layers that labels lie on, and the activities. Words for verbs and nouns are in the taxonomy."""

LAYERS = ("activity", "action", "step")
"""Layers of spans, which segments are made of."""

OBJECT_LAYER = "object"
"""Things that were boxed in the picture: the label spans the time in which the thing is seen."""

EPISODE_LAYER = "episode"
"""What became of an attempt: the text is success or failure, the span the attempt."""

KNOWN_LAYERS = (*LAYERS, OBJECT_LAYER, EPISODE_LAYER)

IDLE, HEAD_TURN, LOCOMOTION, MANIPULATION = "idle", "head_turn", "locomotion", "manipulation"

CAMERA_COVERED = "camera_covered"
"""A hand, a cloth or darkness hides what the camera should see. It says nothing about what the worker does."""

ACTIVITIES = (IDLE, HEAD_TURN, LOCOMOTION, MANIPULATION, CAMERA_COVERED)
"""What the layer of activities is divided into. They are texts, and no verbs."""
