"""How the pictures of a data set become frames: one rule for all of them."""

import dataclasses

from seqsum.runtime.errors import InputError

DEPTHS = {
  "8-bit": "8-bit values",
  "integer": "whole numbers of more than 8 bits",
  "float": "floats",
}


@dataclasses.dataclass(frozen=True)
class PixelRule:
  """How all pictures of a data set become frames.

  Attributes:
    depth: "8-bit", "integer" (16 or 32 bits) or "float". Pictures of another
      depth are refused.
    low, high: The values that become 0 and 255, unless `depth` is "8-bit".
    paper: Behind transparent pixels, 0 is black and 1 white. None refuses
      pictures that have any.
  """

  depth: str = "8-bit"
  low: float = 0.0
  high: float = 0.0
  paper: float | None = None

  def describe(self) -> str:
    """The rule in words; '' if pictures are taken as they are."""
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
    """Raises `InputError` for a picture of another depth."""
    if depth != self.depth:
      scale = "" if self.depth == "8-bit" else f" {self.range}"
      raise InputError(
        f"has {DEPTHS[depth]}, but the pictures of the training data have "
        f"{DEPTHS[self.depth]}{scale}: convert it to the same kind and scale"
      )
