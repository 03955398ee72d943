"""The rule by which the pictures of a data set are converted to frames."""

import dataclasses

from seqsum.runtime.errors import InputError

DEPTHS = {
  "8-bit": "8-bit values",
  "integer": "whole numbers of more than 8 bits",
  "float": "floats",
}


@dataclasses.dataclass(frozen=True)
class PixelRule:
  """The conversion of all pictures of a data set to frames.

  Attributes:
    depth: Pixel type of the pictures: "8-bit", "integer" (16 or 32 bits) or
      "float".
    low, high: Pixel values that become 0 and 255; unused if `depth` is "8-bit".
    paper: Background of transparent pixels: 0 is black, 1 is white. None:
      pictures with transparent pixels are refused.
  """

  depth: str = "8-bit"
  low: float = 0.0
  high: float = 0.0
  paper: float | None = None

  def describe(self) -> str:
    """The rule in words; '' if pixels are not changed."""
    words = []
    if self.depth != "8-bit":
      words.append(f"{self.depth} values {self.range} become 0..255")
    if self.paper is not None:
      colour = "white" if self.paper else "black"
      words.append(f"{colour} behind transparent pixels")
    return ", ".join(words)

  @property
  def range(self) -> str:
    return f"{self.low:.7g}..{self.high:.7g}"

  def check_depth(self, depth: str) -> None:
    """Raises `InputError` if a picture has another depth."""
    if depth != self.depth:
      scale = "" if self.depth == "8-bit" else f" {self.range}"
      raise InputError(
        f"has {DEPTHS[depth]}, but the pictures of the training data have "
        f"{DEPTHS[self.depth]}{scale}: convert it to the same kind and scale"
      )
