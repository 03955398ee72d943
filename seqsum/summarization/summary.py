"""Files of `seqsum.importance`: correlations and a summary of one video."""

import numpy as np
from etils import epath

from seqsum.runtime import files
from seqsum.summarization import chart, keyshots, video_writer
from seqsum.summarization.judge import Example, Results


def write(
  folder: epath.Path,
  results: Results,
  example: Example,
  scores: np.ndarray,
  share: float,
) -> list[str]:
  """Writes importance.json and, for visible frames, summary.png and .mp4.

  The summary of `example` keeps the `share` of its frames with the highest
  `scores`, [T]. Returns the names of the files.
  """
  folder.mkdir(parents=True, exist_ok=True)
  files.write_json(folder / "importance.json", results)
  frames = example.frames
  if frames.dtype != np.uint8 or min(frames.shape[1:3]) < 2:
    return ["importance.json"]  # features, not images
  kept = keyshots.keep(scores, None, share)
  png = chart.draw(frames, scores, kept, example.truth)
  files.write_atomically(folder / "summary.png", png)
  video_writer.write(folder / "summary.mp4", frames[kept])
  return ["importance.json", "summary.png", "summary.mp4"]
