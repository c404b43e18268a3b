"""Segment Anything: from the box around a thing to its shape.

Source:
    Kirillov et al., "Segment Anything" (2023): the picture is scaled so that its longer side is the network's, brought
    to ImageNet's mean and deviation, and filled up with zeros to a square; each of three masks for a box has a score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from farm.detail.box import BBox, Box
from farm.detail.detections import U8, Found, Shape, clipped, dilated, dilated_box, whole_pixels
from farm.domain.detection import Detection
from workers.gpu.faults import BadModel, memory_errors

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, red, green, blue, in [0, 1]."""
TOGETHER = 16
"""Boxes that are put to the network at once."""
INSIDE = 1
"""What a point says of itself: it lies on the thing."""


class Sam:
    """A model that is on the device only while it is in use: it shares the GPU with the one that repaints."""

    def __init__(self, folder: Path, name: str) -> None:
        """
        Args:
            folder: as `save_pretrained` of transformers' SamModel writes it.   name: for messages.
        Raises:
            BadModel: it cannot be loaded.
        """
        from transformers import SamModel

        try:
            model = SamModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise BadModel(
                f"the SAM {name!r} does not load ({error})", "add a folder of transformers' SamModel"
            ) from None
        model.train(False)
        self._model = model
        self._weights: torch.nn.Module = model
        vision = model.config.to_dict()["vision_config"]
        self._side = int(vision["image_size"])
        self._device = "cpu"

    @contextmanager
    def on(self, device: str) -> Iterator[None]:
        """Use it on a device, for as long as this lasts. Raises OutOfMemory."""
        try:
            with memory_errors("load SAM"):
                self._device = device
                self._weights.to(device)
            yield
        finally:
            self._device = "cpu"
            self._weights.to("cpu")

    def shaped(self, picture: U8, found: Sequence[Found], detection: Detection) -> list[Found]:
        """What was found in a picture `[H, W, 3]`, each with its shape within its own, grown box.

        Of the masks for a box those with a score of at least `sam_threshold` are laid over each other, or the best one
        is taken. Unlike the node, a thing's mask never reaches into its neighbor's segment.

        Raises:
            OutOfMemory.
        """
        if not found:
            return []
        with torch.inference_mode(), memory_errors("find shapes with SAM"):
            masks = self._masks(picture, [one.bbox for one in found], detection)
        return [_with_shape(one, mask, detection) for one, mask in zip(found, masks, strict=True)]

    def _masks(self, picture: U8, boxes: Sequence[BBox], detection: Detection) -> list[NDArray[np.float32]]:
        device = self._device
        height, width = picture.shape[:2]
        scale = self._side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        pixels = torch.zeros(1, 3, self._side, self._side)
        levels = (scaled.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        pixels[0, :, : size[1], : size[0]] = torch.from_numpy(levels.transpose(2, 0, 1))
        seen = self._model.get_image_embeddings(pixels.to(device))
        masks: list[NDArray[np.float32]] = []
        for start in range(0, len(boxes), TOGETHER):
            grown = [
                _grown(box, detection.sam_bbox_expansion, width, height) for box in boxes[start : start + TOGETHER]
            ]
            corners = torch.tensor([grown], dtype=torch.float32, device=device) * scale
            middles = (corners[..., :2] + corners[..., 2:]) / 2
            given = self._model(
                image_embeddings=seen,
                input_points=middles[:, :, None],
                input_labels=torch.full((1, len(grown), 1), INSIDE, device=device),
                input_boxes=corners,
                multimask_output=True,
            )
            scores, planes = given.iou_scores[0].float().cpu(), given.pred_masks[0].float()
            whole = torch.nn.functional.interpolate(planes, (self._side, self._side), mode="bilinear").cpu()
            for number in range(len(grown)):
                kept = scores[number] >= detection.sam_threshold
                kept[scores[number].argmax()] |= not bool(kept.any())
                best = whole[number][kept].amax(dim=0)[: size[1], : size[0]].numpy()
                plane = cv2.resize(best, (width, height), interpolation=cv2.INTER_LINEAR)
                masks.append((plane > 0).astype(np.float32))
        return masks


def _grown(box: BBox, by: int, width: int, height: int) -> BBox:
    return clipped((box[0] - by, box[1] - by, box[2] + by, box[3] + by), width, height)


def _with_shape(found: Found, mask: NDArray[np.float32], detection: Detection) -> Found:
    """The part of a mask `[H, W]` that lies in the thing's grown box."""
    inside = dilated_box(whole_pixels(found.bbox), detection.dilation).inside(mask.shape[1], mask.shape[0])
    at = inside if inside.area else Box(0, 0, 1, 1)
    own = dilated(mask, detection.sam_dilation)[at.slices]
    return replace(found, shape=Shape(at, own if inside.area else np.zeros((1, 1), dtype=np.float32)))
