"""The layers that labels lie on, and what activities and outcomes are called. Verbs and nouns are in the taxonomy."""

LAYERS = ("activity", "action", "step")
"""Layers of spans, which segments are made of."""

OBJECT_LAYER = "object"
"""Things that were boxed in the picture: the label spans the time in which the thing is seen."""

EPISODE_LAYER = "episode"
"""What became of an attempt: the text is success or failure, the span the attempt."""

SPAN_LAYERS = (*LAYERS, EPISODE_LAYER)
"""Layers that annotators draw spans on, in every tool."""

KNOWN_LAYERS = (*LAYERS, OBJECT_LAYER, EPISODE_LAYER)

IDLE, HEAD_TURN, LOCOMOTION, MANIPULATION = "idle", "head_turn", "locomotion", "manipulation"

CAMERA_COVERED = "camera_covered"
"""A hand, a cloth or darkness hides what the camera should see. It says nothing about what the worker does."""

ACTIVITIES = (IDLE, HEAD_TURN, LOCOMOTION, MANIPULATION, CAMERA_COVERED)
"""What the layer of activities is divided into. They are texts, and no verbs."""

OUTCOMES = ("success", "failure")
"""What is said of an attempt."""

TEXTS = {"activity": ACTIVITIES, EPISODE_LAYER: OUTCOMES}
"""By layer, what its labels choose from. These are texts, and no verbs."""
