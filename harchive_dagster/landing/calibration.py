"""The camera's lens as an upload tells it: a calibration file, read and held against the video. What a lens does with
light is in `recording.lens`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.fields import Fields, Findings, read_json_object
from harchive_dagster.landing.manifest import Manifest
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.lens import COEFFICIENTS, FISHEYE, MAX_COEFFICIENT, MAX_SIDE_PX, PINHOLE, Lens

LENS, GYROFLOW = "lens", "gyroflow"
FORMATS = (GYROFLOW, LENS)
"""What a manifest's `format` may be for a calibration: our own, and a lens profile of Gyroflow."""

_MAX_BYTES = 2**20
"""Profiles have two thousand."""

_MAX_FOCAL_PX = 50.0 * MAX_SIDE_PX
"""What `Lens` takes at most, of the largest picture."""

_SAME_SHAPE = 0.01
"""Encoders round a side up to whole blocks: 1088 rows for 1080. Anything more is another crop of the sensor."""

_GYROFLOW_USUAL = "opencv_fisheye"
_GYROFLOW_MODELS = {_GYROFLOW_USUAL: FISHEYE, "opencv_standard": PINHOLE}
"""By `distortion_model`; most profiles name none."""


def lens_of(folder: Path, manifest: Manifest, *, width_px: int, height_px: int) -> Lens | None:
    """The calibrated lens of a session's camera; None where the upload has none.

    Args:
        folder: the session's.
        manifest: what it declares.
        width_px: of the video's pictures.
        height_px: of the video's pictures.

    Raises:
        LandingError: as in `read_lens`; SENSOR_IMPLAUSIBLE, it is of pictures of another shape.
    """
    file = manifest.lens_file
    if file is None:
        return None
    lens = read_lens(folder / file.path, file.format)
    require_same_shape(lens, file.path, width_px=width_px, height_px=height_px)
    return lens


def read_lens(path: Path, file_format: str) -> Lens:
    """Read a calibration file of one of `FORMATS`.

    Raises:
        LandingError: SENSOR_UNREADABLE, naming what is wrong with it.
    """
    try:
        document, _ = read_json_object(path, max_bytes=_MAX_BYTES)
        if file_format not in FORMATS:
            raise ValueError(f"format {file_format!r} is none of {', '.join(FORMATS)}")
        return _of_gyroflow(document) if file_format == GYROFLOW else _of_ours(document)
    except (ValueError, OSError) as error:
        raise LandingError(
            Reason.SENSOR_UNREADABLE,
            f"calibration {path.name!a} cannot be used: {error}.",
            mend="Correct it, or leave the calibration out: the usual field of view is then assumed.",
            evidence={"file": path.name},
        ) from None


def format_of(path: Path) -> str:
    """Which of `FORMATS` a file is in, by its content.

    Raises:
        OSError, ValueError: it is no JSON object; the message says why.
    """
    document, _ = read_json_object(path, max_bytes=_MAX_BYTES)
    return GYROFLOW if "fisheye_params" in document else LENS


def require_same_shape(lens: Lens, name: str, *, width_px: int, height_px: int) -> None:
    """Refuse a lens of pictures that are no scaled copy of the video's.

    Raises:
        LandingError: SENSOR_IMPLAUSIBLE.
    """
    stretched = (width_px / height_px) / (lens.width_px / lens.height_px)
    if abs(stretched - 1) > _SAME_SHAPE:
        raise LandingError(
            Reason.SENSOR_IMPLAUSIBLE,
            f"calibration {name!r} is of pictures of {lens.width_px} x {lens.height_px}, the video has "
            f"{width_px} x {height_px}: another part of what the lens shows.",
            mend="Give the calibration of the mode that it was recorded in, or leave it out.",
            evidence={"file": name},
        )


def _of_ours(document: Mapping[str, Any]) -> Lens:
    findings = Findings()
    fields = Fields(document, findings)
    lens: dict[str, Any] = {
        "model": fields.text("model", choices=COEFFICIENTS.keys()),
        "width_px": fields.integer("width_px", low=1, high=MAX_SIDE_PX),
        "height_px": fields.integer("height_px", low=1, high=MAX_SIDE_PX),
        "fx_px": fields.number("fx_px", low=0.0, high=_MAX_FOCAL_PX),
        "fy_px": fields.number("fy_px", low=0.0, high=_MAX_FOCAL_PX),
        "cx_px": fields.number("cx_px", low=0.0, high=MAX_SIDE_PX),
        "cy_px": fields.number("cy_px", low=0.0, high=MAX_SIDE_PX),
        "distortion": fields.numbers("distortion", low=-MAX_COEFFICIENT, high=MAX_COEFFICIENT),
    }
    fields.refuse_unknown()
    if findings.problems:
        raise ValueError("; ".join(findings.problems[:4]))
    return Lens(**lens)


def _of_gyroflow(document: Mapping[str, Any]) -> Lens:
    model_name = str(document.get("distortion_model") or _GYROFLOW_USUAL)
    model = _GYROFLOW_MODELS.get(model_name)
    if model is None:
        raise ValueError(f"distortion_model {model_name[:40]!a} is none of {', '.join(_GYROFLOW_MODELS)}")
    if document.get("digital_lens"):
        raise ValueError(f"the camera bent its pictures by {str(document['digital_lens'])[:40]!a}, which is not read")
    try:
        size, parameters = document["calib_dimension"], document["fisheye_params"]
        width_px, height_px = int(size["w"]), int(size["h"])
        (fx, _, cx), (_, fy, cy), _ = np.array(parameters["camera_matrix"], dtype=np.float64).tolist()
        given = np.array(parameters["distortion_coeffs"], dtype=np.float64).ravel().tolist()
        stretches = [float(document.get(f"input_{way}_stretch") or 1.0) for way in ("horizontal", "vertical")]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"it is no Gyroflow lens profile: {type(error).__name__} {str(error)[:80]!a}") from None
    if stretches != [1.0, 1.0]:
        raise ValueError("its pictures are stretched, which is not read")
    count = len(COEFFICIENTS[model])
    if any(given[count:]):
        raise ValueError(f"it has {len(given)} coefficients of distortion, of which {count} are read")
    padded = [*given[:count], *[0.0] * (count - len(given))]
    return Lens(model, width_px, height_px, fx, fy, cx, cy, tuple(padded))
