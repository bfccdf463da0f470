"""The layers that labels lie on, and the activities. Words for verbs and nouns are in the taxonomy."""

LAYERS = ("activity", "action", "step")
"""Layers of spans, which segments are made of."""

OBJECT_LAYER = "object"
"""Things that were boxed in the picture: the label spans the time in which the thing is seen."""

EPISODE_LAYER = "episode"
"""What became of an attempt: the text is success or failure, the span the attempt."""

KNOWN_LAYERS = (*LAYERS, OBJECT_LAYER, EPISODE_LAYER)

ACTIVITIES = ("idle", "head_turn", "locomotion", "manipulation")
"""What the layer of activities is divided into. They are texts, and no verbs."""
