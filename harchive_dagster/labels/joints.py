"""Which names of joints a lab may see: a device writes names of its own, and they may have been given to mean a person.

The words are those of the usual skeletons: MediaPipe, MANO and OpenXR for hands, COCO and SMPL for bodies.
"""

_NAMES = """
left right l r upper lower inner outer big small hand palm wrist thumb index middle ring little pinky finger
metacarpal proximal intermediate distal tip cmc mcp pip dip ip
body root pelvis hip spine chest torso back waist neck head nose mouth jaw eye ear collar clavicle shoulder arm
elbow forearm leg thigh knee shin ankle heel foot toe
camera image device phone headset imu glove tool world base link tag joint
"""
_WORDS = frozenset(_NAMES.split())
_MAX_WORDS = 5
_MAX_DIGITS = 2
"""`spine_3` and `joint_12` are names of joints; a telephone number takes more, and more than one."""


def is_plain_joint(name: str) -> bool:
    """Whether a name is made of words for parts of bodies and devices only, with one number of two digits at most."""
    words = name.split("_")
    numbers = [word for word in words if word not in _WORDS]
    return (
        len(words) <= _MAX_WORDS
        and len(numbers) <= 1
        and all(number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS for number in numbers)
        and len(numbers) < len(words)
    )
