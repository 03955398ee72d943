"""Two numbers in image files: their order, text, JSON and plot."""

import dataclasses
import io
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paper import photo
from PIL import Image

from configs import addition as config_file
from seqsum.inference import addition, answer, trained, weights
from seqsum.inference.addition import AdditionAnswer, predict_files
from seqsum.inference.confidence import find_doubtful
from seqsum.inference.trained import TrainedModel
from seqsum.runs.session import open_session
from seqsum.runtime.errors import InputError
from seqsum.sequences.digit import SHAPE
from seqsum.training.experiment import build_experiment


def config(**changes):
  config = config_file.get_config()
  config.addition.digits = 2
  config.update_from_flattened_dict(
    {
      "data.name": "digits",
      "sequence.num_sequences": 0,
      "model.conv.features": (4,),
      "model.conv.kernels": (4,),
      "model.conv.strides": (4,),
      "model.conv.pool": (1,),
      "model.dense": (8,),
      "model.hidden_sizes": (8,),
    }
    | changes
  )
  return config


class Reads:
  """A network of the core 'carry'; the pixels of a frame are its digit.

  It is sure of all digits but 8, which it takes for a 3 with odds of 1 : 3.
  """

  core = None

  def __init__(self, code=0):
    self.code = code

  def apply(self, params, frames, *_):
    digits = frames[..., 0, 0, 0].astype(int)
    shares = np.eye(10)
    shares[8] = 0.25 * shares[3] + 0.75 * shares[8]
    shares = np.roll(shares, 5 * self.code, axis=-1)
    code = np.full((10, 2), 1e-30)
    code[:, self.code] = 1
    both = np.concatenate([shares + 1e-30, code], axis=-1)
    return jnp.log(jnp.asarray(both, jnp.float32))[digits]


@dataclasses.dataclass(frozen=True)
class FromNames(TrainedModel):
  """A model whose files need not exist: "4.png" has frames of fours."""

  def read_files(self, paths):
    digits = [int(path[0]) for path in paths]
    return list(paths), np.stack([np.full(SHAPE, x, np.uint8) for x in digits])


def model(network: Any = None, **changes):
  experiment = build_experiment(config(**changes))
  experiment = dataclasses.replace(experiment, model=network or Reads())
  return FromNames("run", 7, experiment, {}, SHAPE)


def files(written):
  """'47 + 8' -> ["4.png", "7.png", "+", "8.png"]."""
  return [x if x == "+" else f"{x}.png" for x in written.replace(" ", "")]


@pytest.mark.parametrize("written", ["47 + 65", "4765"])
@pytest.mark.parametrize("code", [0, 1])
def test_47_plus_65_is_112(written, code):
  found = predict_files(model(Reads(code)), files(written))
  assert found.sum == "112"
  assert found.numbers == ("47", "65")
  assert found.carries == [1, 1, 0]
  assert found.probability == pytest.approx(1, abs=1e-4)
  assert found.warnings == []
  assert found.as_text() == (
    "1 1\n  4 7\n+ 6 5\n─────\n1 1 2\n\naddition: 112  (probability 100.0%)"
  )


def test_zeros_and_missing_carries_are_not_written():
  found = predict_files(model(), files("04 + 02"))
  assert found.sum == "6"
  assert found.numbers == ("04", "02")
  lines = found.as_text().splitlines()
  assert lines[:4] == ["  0 4", "+ 0 2", "─────", "  0 6"]
  assert predict_files(model(), files("0 + 0")).sum == "0"


def test_probability_is_that_of_the_whole_sum():
  """With an 8 read as a 3, 80 + 81 would be 111 or 61."""
  found = predict_files(model(), files("80 + 81"))
  assert found.sum == "161"
  assert found.probability == pytest.approx(0.75**2, rel=1e-4)
  assert "(probability 56.2%)" in found.as_text()


def test_doubtful_digits_have_a_warning():
  found = predict_files(model(), files("4 + 8"))
  assert found.warnings == [
    "8.png: predicted 8 with a probability of 75%: check that it shows one "
    "upright digit"
  ]


def test_longer_numbers_than_in_training_are_noted():
  found = predict_files(model(), files("123456789 + 976543211"))
  assert found.sum == str(123456789 + 976543211)
  note = "(numbers of 9 digits; run was trained on at most 2)"
  assert found.as_text().endswith(note)
  assert "trained" not in predict_files(model(), files("47 + 65")).as_text()


def test_long_numbers_are_written_in_blocks():
  found = predict_files(model(), files("7" * 100 + "+" + "6" * 100))
  assert found.sum == str(int("7" * 100) + int("6" * 100))
  *blocks, final = found.as_text().split("\n\n")
  assert len(blocks) == 3
  assert max(map(len, found.as_text().splitlines()[:-1])) < 80
  sums = "".join(block.splitlines()[-1] for block in blocks)
  assert sums.replace(" ", "") == found.sum
  assert found.sum in final


def test_frames_are_shown_with_their_digits():
  lines = predict_files(model(), files("47 + 81")).as_text(80).splitlines()
  named = [line for line in lines if ".png" in line]
  assert [line.split() for line in named] == [
    ["4.png", "4", "100.0%"],
    ["7.png", "7", "100.0%"],
    ["8.png", "8", "75.0%"],
    ["1.png", "1", "100.0%"],
  ]


def test_json_has_strings_of_digits():
  said = predict_files(model(), files("47 + 85")).as_json()
  said = json.loads(json.dumps(said))
  rows = said.pop("images")
  assert [row["file"] for row in rows] == files("4785")
  assert [row["digit"] for row in rows] == [4, 7, 8, 5]
  assert [row["probability"] for row in rows] == pytest.approx(
    [1, 1, 0.75, 1], abs=1e-5
  )
  assert said.pop("probability") == pytest.approx(0.75, rel=1e-4)
  assert len(said.pop("warnings")) == 1
  assert said == {
    "run": "run",
    "step": 7,
    "task": "addition",
    "longest_trained": 4,
    "numbers": ["47", "85"],
    "carries": [1, 1, 0],
    "sum": "132",
  }


def test_plot_has_the_frames_as_people_write_them(monkeypatch):
  shown = []
  monkeypatch.setattr(
    addition.addition, "additions", lambda *x, **known: shown.append((x, known))
  )
  predict_files(model(), files("47 + 65")).plot(animated=False)
  ((frames, lengths, sums), known) = shown[0]
  assert frames[0, :, 0, 0, 0].tolist() == [7, 5, 4, 6]  # column by column
  assert lengths.tolist() == [4]
  assert sums.tolist() == [[2, 1, 1]]
  assert known["digits"].tolist() == [[7, 5, 4, 6]]


def test_plot_is_a_png():
  found = predict_files(model(), files("47 + 65"))
  with Image.open(io.BytesIO(found.plot(animated=False))) as image:
    assert image.format == "PNG"
  with pytest.raises(InputError, match=r"--plot: .*\.png"):
    found.plot(animated=True)


@pytest.mark.parametrize(
  ("written", "words"),
  [
    ("47 + 5", "numbers of 2 and 1 digits: write leading zeros"),
    ("475", "3 images: put + between two numbers of equal length"),
    ("+ 47", "no images before +"),
    ("47 +", "no images after +"),
    ("+", "no images before +"),
    ("4 + 7 + 8", "2 +: give two numbers, with one + between them"),
  ],
)
def test_what_is_not_two_numbers_is_refused(written, words):
  with pytest.raises(InputError, match=re.escape(words)):
    predict_files(model(), files(written))


def test_plus_is_refused_by_other_tasks():
  from configs import sum_tiny

  experiment = build_experiment(sum_tiny.get_config())
  one = FromNames("mine", 7, experiment, {}, SHAPE)
  with pytest.raises(InputError, match=r"\+: .* 'addition'; mine predicts"):
    answer.predict_files(one, files("4 + 7"))


def test_subtraction_is_refused():
  changes = {"task.name": "subtraction"}
  with pytest.raises(InputError, match="'subtraction' predicts in Python only"):
    answer.predict_files(model(**changes), files("47 + 65"))


@pytest.mark.parametrize("columns", [1, 3])
def test_predictions_have_the_columns_of_the_frames(columns):
  """Frames are not padded to a power of two, as those of other tasks are."""
  frames = np.full((2 * columns, *SHAPE), 7, np.uint8)
  found = model().predict(frames)
  digits = max(2, columns) + 1  # a model of two columns
  assert found.shape == (2 * columns, digits)
  assert "".join(f"{x:.0f}" for x in found[-1][::-1]).lstrip("0") == str(
    2 * int("7" * columns)
  )


def test_diverged_model_has_no_sum():
  class Diverged(Reads):
    def apply(self, params, frames, *_):
      return jnp.nan * super().apply(params, frames)

  found = predict_files(model(Diverged()), files("47 + 65"))
  assert found.sum is None
  assert found.probability is None
  assert found.as_text() == "addition: not finite"
  assert json.loads(json.dumps(found.as_json()))["sum"] is None


class Learned:
  """A learned recurrence that is sure of 112 and of the leading 1."""

  core = None

  def apply(self, params, frames, *_):
    outputs = np.zeros((*frames.shape[:2], 12), np.float32)
    outputs[:, 1, 2] = outputs[:, 3, 1] = outputs[:, 3::2, 11] = 9
    return jnp.asarray(outputs)


def test_learned_recurrence_predicts_the_sum_only():
  found = predict_files(
    model(Learned(), **{"model.core": "gru"}), files("47 + 65")
  )
  assert found.as_text() == "addition: 112"
  said = found.as_json()
  assert said["sum"] == "112"
  assert said["numbers"] is said["carries"] is said["probability"] is None
  assert said["images"][0] == {"file": "4.png"}
  assert found.plot(animated=False)
  longer = predict_files(
    model(Learned(), **{"model.core": "gru"}), files("047 + 065")
  )
  assert longer.sum == "1012"
  assert "trained on at most 2" in longer.as_text()


def test_regression_cannot_add_more_columns_than_in_training():
  class Regression:
    core = None

    def apply(self, params, frames, *_):
      sums = jnp.array([1.6, 1.2, 0.8])
      return jnp.broadcast_to(sums, (*frames.shape[:2], 3))

  changes = {"model.core": "gru", "loss": "mse"}
  one = model(Regression(), **changes)
  assert predict_files(one, files("47 + 65")).sum == "112"
  with pytest.raises(InputError, match="adds numbers of at most 2"):
    predict_files(one, files("047 + 065"))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
  """The folder of a run without training, as `seqsum.export` writes it."""
  workdir = tmp_path_factory.mktemp("addition") / "run"
  with open_session(config(), workdir) as session:
    params = jax.device_get(session.init(0).evaluated)
  for name, content in weights.pack(3, params).items():
    (workdir / name).write_bytes(content)
  return workdir


@pytest.fixture(scope="module")
def sheets(bundled, tmp_path_factory):
  """Photos of four digits: 0.png .. 3.png."""
  folder = tmp_path_factory.mktemp("sheets")
  for i in range(4):
    shown = photo(bundled.test.images[i, ..., 0], np.random.default_rng(i))
    Image.fromarray((255 * shown).astype(np.uint8)).save(folder / f"{i}.png")
  return folder


@pytest.mark.slow
def test_digits_are_those_of_the_model(untrained, sheets):
  loaded = trained.load(untrained)
  paths = [str(sheets / f"{i}.png") for i in range(4)]
  found: AdditionAnswer = predict_files(loaded, [*paths[:2], "+", *paths[2:]])
  outputs = loaded.experiment.model.apply(loaded.params, found.frames[None])
  digits = loaded.experiment.objective.fold.digits(outputs)[0]
  np.testing.assert_array_equal(found.digits, digits)
  first, second = (int("".join(map(str, digits[n : n + 2]))) for n in (0, 2))
  assert found.sum == str(first + second)
  frames = found.frames[[1, 3, 0, 2]]  # the order of the task
  expected = loaded.predict(frames)[-1]
  np.testing.assert_array_equal(found.predictions, expected)
  assert 0 < found.probability < 1
  assert len(find_doubtful(loaded, found.names, found.frames)) == 4


@pytest.mark.slow
def test_command_adds(untrained, sheets, run, tmp_path):
  paths = [str(sheets / f"{i}.png") for i in range(4)]
  plot = tmp_path / "sum.png"
  flags = f"--workdir={untrained}", "--json", f"--plot={plot}"
  done = run(*flags, *paths[:2], "+", *paths[2:], program="seqsum.predict")
  assert done.returncode == 0, done.stderr
  said = json.loads(done.stdout)
  assert int(said["sum"]) == sum(map(int, said["numbers"]))
  assert Image.open(plot).format == "PNG"
