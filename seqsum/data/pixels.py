"""Pixels of an opened picture -> brightness or colours in 0..1.

Without a `PixelRule` a picture is converted by itself: its values are stretched
to 0..1, and the background of transparent pixels is chosen for it. All pictures
of a data set are converted by one rule. A choice for each picture would hide
what changes from frame to frame: a scene that becomes brighter would not.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from seqsum.runtime.errors import InputError
from seqsum.sequences.pixel_rule import DEPTHS, PixelRule

MAX_SIDE = 2048  # pixels; larger pictures are scaled down
GREY = ("1", "L", "LA", "La")  # modes without colour
ORIENTATION = 0x112  # the EXIF tag


class PictureFacts(NamedTuple):
  """The properties of a picture that a `PixelRule` depends on.

  Attributes:
    size: (H, W) as displayed, before it is scaled down.
    depth: "8-bit", "integer" (more than 8 bits) or "float".
    low, high: The minimum and maximum value, unless `depth` is "8-bit".
    coloured: Whether a visible pixel is not grey; False if not looked for.
    transparent: Whether a pixel is not opaque.
    ink: Brightness times opacity, summed over a transparent picture.
    cover: Opacity, summed over a transparent picture.
  """

  size: tuple[int, int]
  depth: str
  low: float = 0.0
  high: float = 0.0
  coloured: bool = False
  transparent: bool = False
  ink: float = 0.0
  cover: float = 0.0


class PixelSurvey:
  """Collects the facts of all pictures of a data set and chooses its rule."""

  def __init__(self):
    self._depths: dict[str, str] = {}  # -> name of the first picture
    self._low, self._high = np.inf, -np.inf
    self._ink, self._cover, self._transparent = 0.0, 0.0, False
    self.coloured = False

  def add(self, name: str, facts: PictureFacts) -> None:
    """Adds a picture, or a video, whose frames have 8 bits."""
    self._depths.setdefault(facts.depth, name)
    self.coloured |= facts.coloured
    if facts.depth != "8-bit":
      self._low = min(self._low, facts.low)
      self._high = max(self._high, facts.high)
    if facts.transparent:
      self._transparent = True
      self._ink += facts.ink
      self._cover += facts.cover

  def rule(self) -> PixelRule:
    """Chooses one rule for all pictures that were added.

    Raises:
      InputError: The pictures have no common scale.
    """
    if len(self._depths) > 1:
      (depth, name), (other_depth, other) = list(self._depths.items())[:2]
      raise InputError(
        f"{other}: has {DEPTHS[other_depth]}, but {name} has {DEPTHS[depth]}: "
        "convert all pictures to the same kind"
      )
    rule = PixelRule(next(iter(self._depths), "8-bit"))
    if rule.depth != "8-bit":
      rule = dataclasses.replace(rule, low=self._low, high=self._high)
    if self._transparent:
      background = _choose_background(self._ink, self._cover)
      rule = dataclasses.replace(rule, paper=background)
    return rule


def inspect(image: Image.Image, colour: bool) -> PictureFacts:
  """Inspects a picture; reads only the header where that is enough.

  Pixels are decoded if they have more than 8 bits, may be transparent, or if
  colours are looked for and possible.

  Args:
    image: An opened picture.
    colour: Whether to look for colours.

  Raises:
    InputError: A value is inf or nan.
  """
  size, depth = _shown_size(image), _depth(image)
  if depth != "8-bit":
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
      raise InputError("contains inf or nan")
    return PictureFacts(size, depth, low, high)
  colour = colour and image.mode not in GREY
  if not (colour or image.has_transparency_data):
    return PictureFacts(size, depth)
  picture, alpha = _load(image)
  coloured = False
  if colour:
    pixels = np.asarray(picture.convert("RGB"))
    differ = (pixels != pixels[..., :1]).any(axis=-1)
    coloured = bool((differ if alpha is None else differ & (alpha > 0)).any())
  if alpha is None:
    return PictureFacts(size, depth, coloured=coloured)
  light = _light(picture)
  return PictureFacts(
    size,
    depth,
    coloured=coloured,
    transparent=True,
    ink=float((alpha * light).sum(dtype=np.float64)),
    cover=float(alpha.sum(dtype=np.float64)),
  )


def brightness(image: Image.Image, rule: PixelRule | None = None) -> np.ndarray:
  """Converts a picture to [H, W] float32 in 0..1; colours become luminance.

  Args:
    image: An opened picture.
    rule: The rule of its data set; None chooses one for this picture.

  Raises:
    InputError: The picture does not fit the rule, or a value is inf or nan.
  """
  if rule is not None:
    rule.check_depth(_depth(image))
  if _depth(image) != "8-bit":
    return _deep(image, rule)
  picture, alpha = _load(image)
  light = _light(picture)
  return light if alpha is None else _composite(light, light, alpha, rule)


def colours(image: Image.Image, rule: PixelRule | None = None) -> np.ndarray:
  """Converts a picture to [H, W, 3] float32 RGB in 0..1; see `brightness`."""
  if rule is not None:
    rule.check_depth(_depth(image))
  if _depth(image) != "8-bit":
    return np.repeat(_deep(image, rule)[..., None], 3, axis=-1)
  picture, alpha = _load(image)
  found = np.asarray(picture.convert("RGB"), np.float32) / 255
  if alpha is None:
    return found
  return _composite(found, _light(picture), alpha, rule)


def _depth(image: Image.Image) -> str:
  return {"I": "integer", "F": "float"}.get(image.mode[0], "8-bit")


def _shown_size(image: Image.Image) -> tuple[int, int]:
  """(H, W) as displayed, from the header."""
  width, height = image.size
  # PNG's own `getexif` would decode the pixels.
  turned = Image.Image.getexif(image).get(ORIENTATION) in (5, 6, 7, 8)
  return (width, height) if turned else (height, width)


def _deep(image: Image.Image, rule: PixelRule | None) -> np.ndarray:
  """Brightness of more than 8 bits; may exceed 0..1, the range of the rule."""
  values = np.asarray(ImageOps.exif_transpose(image)).astype(np.float64)
  low, high = values.min(), values.max()
  if not np.isfinite([low, high]).all():
    raise InputError("contains inf or nan")
  if rule is not None:
    low, high = rule.low, rule.high
  span = high - low
  return ((values - low) / (span if span else 1)).astype(np.float32)


def _load(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
  """The picture, RGB or L, and its opacity [H, W] in 0..1; None if opaque."""
  image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # a JPEG decoder can skip detail
  if image.has_transparency_data:
    image = image.convert("RGBA")
  elif image.mode != "L":
    image = image.convert("RGB")
  image.thumbnail((MAX_SIDE, MAX_SIDE))
  image = ImageOps.exif_transpose(image)
  if image.mode != "RGBA":
    return image, None
  alpha = np.asarray(image.getchannel("A"), np.float32) / 255
  return image.convert("RGB"), None if (alpha == 1).all() else alpha


def _light(picture: Image.Image) -> np.ndarray:
  """Luminance, [H, W] float32 in 0..1."""
  return np.asarray(picture.convert("L"), np.float32) / 255


def _choose_background(ink: float, cover: float) -> float:
  """The background: 1 (white) behind dark ink, 0 (black) behind light ink."""
  return float(ink < 0.5 * max(cover, 1))


def _composite(
  picture: np.ndarray,
  light: np.ndarray,
  alpha: np.ndarray,
  rule: PixelRule | None,
) -> np.ndarray:
  """Composites [H, W] or [H, W, 3] over the background."""
  if rule is None:
    background = _choose_background((alpha * light).sum(), alpha.sum())
  elif rule.paper is None:
    raise InputError(
      "has transparent pixels, but no picture of the training data had any: "
      "save it on an opaque background"
    )
  else:
    background = rule.paper
  alpha = alpha.reshape(alpha.shape + (1,) * (picture.ndim - 2))
  return alpha * picture + (1 - alpha) * np.float32(background)
