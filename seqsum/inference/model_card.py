"""A run as the files of a repository on the Hugging Face Hub."""

import json
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from seqsum.inference import exported, weights
from seqsum.runs import run_files
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.training.scores import number

# Pictures of a report: charts, and those that show frames of the data.
CHARTS = {
  "learning": "Learning curves",
  "agreement": "Predictions and targets",
  "errors": "Errors by length and target",
}
FRAMES = {
  "sequences": "Test sequences and predictions",
  "mistakes": "Largest errors",
}
PNG = b"\x89PNG\r\n\x1a\n"
METRICS = ("mse", "mae", "exact_accuracy")


def pack(
  workdir: epath.PathLike, repository: str, license: str | None
) -> dict[str, bytes]:
  """A finished run as the files of a repository, by name.

  The files have no path of this machine: of a file or folder that holds the
  data only the last part of its name is kept. Of a run on your own data, whose
  pictures may be private, only charts are included.

  Args:
    workdir: The run's folder.
    repository: USER/NAME.
    license: The model's license, as the Hub names it; None: none is stated.

  Raises:
    InputError: The run is not finished, or a file cannot be read.
  """
  found = exported.pack_weights(workdir, weights.SAFETENSORS)
  written = {}
  for name in ("config.json", "summary.json"):
    content = without_folders(json.loads(found[name]))
    written[name] = content
    found[name] = (json.dumps(content, indent=2) + "\n").encode()
  config = written["config.json"]["config"]
  own_data = config["data"].get("kind") == "files"
  pictures = read_pictures(
    files.parse_path(workdir), CHARTS if own_data else CHARTS | FRAMES
  )
  card = write(repository, config, written["summary.json"], pictures, license)
  return {
    "README.md": card.encode(),
    **found,
    **{f"{name}.png": content for name, content in pictures.items()},
  }


def without_folders(value: Any) -> Any:
  """JSON with 'npz:/home/me/x.npz' replaced by 'npz:x.npz', everywhere."""
  if isinstance(value, dict):
    return {key: without_folders(x) for key, x in value.items()}
  if isinstance(value, list):
    return [without_folders(x) for x in value]
  if not isinstance(value, str):
    return value
  if not re.search(r"[/\\]", value):
    return value
  prefix = re.match(r"\w{2,}:", value)  # not the drive C:
  last = re.split(r"[/\\]", value.rstrip("/\\"))[-1]
  return prefix[0] + last if prefix else last


def read_pictures(
  workdir: epath.Path, names: Mapping[str, str]
) -> dict[str, bytes]:
  """The pictures of a run's report that exist.

  Raises:
    InputError: One is a link, or not a PNG.
  """
  paths = {name: f"report/{name}.png" for name in names}
  files.refuse_links(workdir, "report", *paths.values())
  found = {}
  for name, path in paths.items():
    content = run_files.read_bytes(workdir / path)
    if content is not None and not content.startswith(PNG):
      raise InputError(f"{workdir / path}: not a PNG; remove it")
    if content is not None:
      found[name] = content
  return found


def write(
  repository: str,
  config: Mapping[str, Any],
  summary: Mapping[str, Any],
  pictures: Mapping[str, bytes],
  license: str | None,
) -> str:
  """The model card: Markdown with the Hub's YAML at its top.

  Args:
    repository: USER/NAME.
    config, summary: Content of config.json's "config" and of summary.json.
    pictures: Names of pictures beside the card, without .png.
    license: As for `pack`.
  """
  task, test = config["task"]["name"], summary["test"]
  name, dataset = repository.partition("/")[2], _line(summary["dataset"])
  text = {
    "mse": number(test["mse"]),
    "mae": number(test["mae"]),
    "exact_accuracy": f"{test['exact_accuracy']:.2%}",
  }
  settings = [
    f"| `{field}` | {_line(value)} |"
    for field, value in files.flatten(dict(config))
    if value not in ("", None, [])
  ]
  titles = CHARTS | FRAMES
  return "\n".join(
    [
      "---",
      metadata(name, task, dataset, test, license) + "---",
      "",
      f"# {name}",
      "",
      f"A network that reads a sequence of frames and predicts: {_line(task)}. "
      f"Trained on {dataset} by seqsum, {summary['sequences']:,} sequences; "
      f"{summary['parameters']:,} parameters.",
      "",
      "```python",
      "import seqsum",
      "",
      f'model = seqsum.load("hf://{repository}")',
      "frames = ...  # [T, H, W, C]; of files: model.read_files([...])[1]",
      "model.predict(frames)  # [T], the value after each frame",
      "```",
      "",
      "This needs seqsum with its extra `hub`. Loading runs no code of this "
      "repository.",
      "",
      "## Test",
      "",
      "| mse | mae | exact | step |",
      "|--:|--:|--:|--:|",
      f"| {text['mse']} | {text['mae']} | {text['exact_accuracy']} | "
      f"{test['step']:,} |",
      "",
      *(f"![{titles[x]}]({x}.png)\n" for x in pictures),
      "## Config",
      "",
      "| field | value |",
      "|---|---|",
      *settings,
      "",
    ]
  )


def metadata(
  name: str,
  task: str,
  dataset: str,
  test: Mapping[str, Any],
  license: str | None,
) -> str:
  """The YAML of a card, with the test metrics as the Hub's model-index."""
  from huggingface_hub import EvalResult, ModelCardData

  results = [
    EvalResult(
      task_type="other",
      task_name=f"{task} of a sequence",
      dataset_type=dataset,
      dataset_name=dataset,
      dataset_split="test",
      metric_type="accuracy" if metric == "exact_accuracy" else metric,
      metric_name=metric.replace("_", " "),
      metric_value=test[metric],
    )
    for metric in METRICS
    if test[metric] is not None
  ]
  tags = ["seqsum", "jax", "flax", "sequences", task]
  data = ModelCardData(
    library_name="seqsum",
    license=license,
    tags=list(dict.fromkeys(tags)),
    model_name=name if results else None,
    eval_results=results or None,
  )
  return data.to_yaml() + "\n"


def _line(value: Any) -> str:
  """Text in one line that neither ends a table's cell nor is markup."""
  text = " ".join(str(value).split())
  return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", text)
