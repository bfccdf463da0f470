"""How much of written lines the text detector covers, by the height of their letters, and what one look costs.

    python benchmarks/text_detection.py recording.mp4 [recording.mp4 ...]

Documents, phone screens and plates are drawn from a seed into six frames of every recording, turned up to 12 degrees,
dimmed and slightly blurred. A line counts as found when 90 % of its pixels are covered. What is found in the same
frames as they are is counted too: look at it before calling it wrong.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.detection import Box
from harchive_dagster.privacy.text_detector import TextDetector
from harchive_dagster.recording.decoding import iterate_frames

FRAMES = 6
LETTER_PX = (10, 14, 20, 40, 80)
INPUTS_PX = ((640, 384), (960, 544))
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
WORDS = ("Invoice 2024", "Ramesh Kumar", "account 4471", "pay by Friday", "Rs 12480", "Dr Lakshmi", "OTP 552913")
PAPERS = {  # width and height in letters, lines, paper, ink
    "document": (22, 12, 4, (238, 236, 228), (30, 30, 40)),
    "screen": (12, 20, 4, (18, 20, 26), (225, 230, 235)),
    "plate": (9, 2, 1, (240, 200, 40), (10, 10, 10)),
}


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    count = sum(1 for _ in iterate_frames(path))
    wanted = set(np.linspace(0, count - 1, FRAMES).astype(int).tolist())
    frames = (one.frame for one in iterate_frames(path) if one.frame_index in wanted)
    pictures = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]
    return [cv2.resize(one, (1920, 1080)) if one.shape[1] > one.shape[0] else one for one in pictures]


def planted(
    picture: NDArray[np.uint8], kind: str, letter_px: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
    """A copy with one paper on it, and the pixels of each of its lines."""
    letters, rows, lines, paper, ink = PAPERS[kind]
    height, width = picture.shape[:2]
    size = min(letters * letter_px, width - 10), min(rows * letter_px, height - 10)
    sheet = np.full((size[1], size[0], 3), paper, np.uint8)
    font = FONTS[random.integers(len(FONTS))]
    scale, thickness = letter_px / cv2.getTextSize("A", font, 1, 1)[0][1], max(1, round(letter_px / 10))
    boxes, y = [], int(0.5 * letter_px)
    while len(boxes) < lines and y + 1.4 * letter_px <= size[1]:
        line = "KA 05 MK 4471" if kind == "plate" else " ".join(random.choice(WORDS, size=2))
        while cv2.getTextSize(line, font, scale, thickness)[0][0] > size[0] - 0.6 * letter_px and len(line) > 3:
            line = line[:-1]
        (w, h), _ = cv2.getTextSize(line, font, scale, thickness)
        x = int(0.3 * letter_px)
        cv2.putText(sheet, line, (x, y + h), font, scale, ink, thickness, cv2.LINE_AA)
        boxes.append([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
        y += int(2.2 * letter_px)
    turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), random.uniform(-12, 12), 1)
    turn[:, 2] += random.integers(0, width - size[0] + 1), random.integers(0, height - size[1] + 1)
    on_it = cv2.warpAffine(np.full(sheet.shape[:2], 255, np.uint8), turn, (width, height)) > 127
    mixed = np.where(on_it[..., None], cv2.warpAffine(sheet, turn, (width, height)), picture)
    dimmed = cv2.GaussianBlur(mixed, (0, 0), 0.7) * random.uniform(0.5, 1.0)
    masks = []
    for box in boxes:
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, (np.array(box) @ turn[:, :2].T + turn[:, 2]).astype(np.int32), 1)
        masks.append(mask > 0)
    return np.clip(dimmed, 0, 255).astype(np.uint8), masks


def covered(boxes: list[Box], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    hidden = np.zeros(shape[:2], np.bool_)
    for box in boxes:
        hidden[max(0, int(box.y)) : int(box.y + box.h) + 1, max(0, int(box.x)) : int(box.x + box.w) + 1] = True
    return hidden


def main(paths: list[Path]) -> None:
    pictures = [picture for path in paths for picture in frames_of(path)]
    for width_px, height_px in INPUTS_PX:
        detector = TextDetector(input_width_px=width_px, input_height_px=height_px)
        found = [detector.detect(picture) for picture in pictures]
        share = np.mean([covered(boxes, one.shape).mean() for boxes, one in zip(found, pictures, strict=True)])
        print(
            f"{width_px}x{height_px}: {sum(map(len, found))} boxes in {len(pictures)} frames as they are, {share:.2%}"
        )
        random, took_s = np.random.default_rng(5), []
        for letter_px in LETTER_PX:
            told = []
            for kind in PAPERS:
                hits = []
                for picture in pictures:
                    seen, masks = planted(picture, kind, letter_px, random)
                    start_s = time.process_time()
                    boxes = detector.detect(seen)
                    took_s.append(time.process_time() - start_s)
                    hidden = covered(boxes, seen.shape)
                    hits += [hidden[mask].mean() >= 0.9 for mask in masks]
                told.append(f"{kind} {sum(hits)}/{len(hits)}")
            print(f"  letters of {letter_px} px: {', '.join(told)}")
        print(f"  one look: {1e3 * float(np.median(took_s)):.0f} ms of CPU")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
