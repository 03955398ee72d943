"""A trained model converts new pictures by the rule of its training data."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from configs import own
from seqsum.data import recordings
from seqsum.inference import exported
from seqsum.inference.trained import TrainedModel
from seqsum.runtime.errors import InputError
from seqsum.sequences.recorded import SequenceSpec
from seqsum.training.experiment import build_experiment

SIZE = 8, 12


def deep(value, kind=np.uint16):
  pixels = np.zeros(SIZE, kind)
  pixels[2:6, 2:6] = value
  return Image.fromarray(pixels)


def sprite(grey):
  image = Image.new("RGBA", SIZE[::-1])
  image.paste((grey, grey, grey, 255), (2, 2, 6, 6))
  return image


def save(folder, pictures):
  folder.mkdir(parents=True, exist_ok=True)
  for i, image in enumerate(pictures):
    ending = "tif" if image.mode == "F" else "png"
    image.save(folder / f"{i}.{ending}")
  return folder


def trained_on(folder, *sequences):
  """Writes sequences; returns their data set and a model for it."""
  rows = ["sequence,target"]
  for n, pictures in enumerate(sequences):
    save(folder / f"s{n}", pictures)
    rows.append(f"s{n},{n}")
  (folder / "targets.csv").write_text("\n".join(rows))
  data = recordings.load(f"frames:{folder}")
  return data, model_of(data)


def model_of(data):
  facts = SequenceSpec.of_json(json.loads(json.dumps(data.facts.as_json())))
  assert facts == data.facts
  config = own.get_config()
  config.data.name = data.name
  config.model.conv.strides = (1, 1, 1)
  experiment = build_experiment(ConfigDict(config), facts)
  return TrainedModel("run", 1, experiment, {}, experiment.sampler.shape)


def read(model, *paths):
  return model.read_files(paths)[1]


def refuse(model, path, words):
  with pytest.raises(InputError, match=words) as caught:
    model.read_files([path])
  assert str(path) in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_new_pictures_get_the_scale_of_the_training_data(
  tmp_path, kind, caplog
):
  """By hand: of a range of 0..8000, 2000 is 64 of 255."""
  rising = [deep(1000 * k, kind) for k in range(1, 9)]
  data, model = trained_on(tmp_path / "data", rising, rising[:3], rising[5:])
  for n in range(3):
    frames = read(model, tmp_path / "data" / f"s{n}")
    np.testing.assert_array_equal(frames, data.source.read(n))
  ending = "tif" if kind == np.float32 else "png"
  new = save(tmp_path / "new", [deep(2000, kind)]) / f"0.{ending}"
  assert read(model, new)[0, 3, 3, 0] == 64
  assert not caplog.records
  words = "values 0..8000 become 0..255.\n"
  assert words in exported.readme(model, [])
  # Values above those of the training data are clipped.
  folder = save(tmp_path / "new", [deep(9000, kind), deep(9001, kind)])
  assert (read(model, folder)[:, 3, 3, 0] == 255).all()
  (record,) = caplog.records
  assert record.getMessage() == (
    f"{folder}: values outside 0..8000, the range of the training data, are "
    f"clipped (2 of 2 pictures, the first is {new.name})"
  )


def test_new_pictures_get_the_background_of_the_training_data(tmp_path):
  """A light sprite by itself would get a black background."""
  dark = [sprite(40), sprite(60)]
  data, model = trained_on(tmp_path / "data", dark, dark, dark)
  assert data.facts.pictures.paper == 1
  new = save(tmp_path / "new", [sprite(220), Image.new("RGBA", (12, 8))])
  frames = read(model, new)
  assert frames[0, 3, 3, 0] == 220
  assert (frames[:, 0, 0] == 255).all()
  assert (frames[1] == 255).all()


@pytest.mark.parametrize(
  ("learned", "new", "words"),
  [
    (deep(9, np.uint8), deep(9), "has whole numbers of more than 8 bits, but"),
    (deep(9), deep(9, np.uint8), "has 8-bit values, but .* 8 bits 0..9: conv"),
    (deep(9), deep(9, np.float32), "has floats, but the pictures of the train"),
    (deep(9, np.uint8), sprite(90), "has transparent pixels, but no picture"),
  ],
)
def test_pictures_of_another_kind_are_refused(tmp_path, learned, new, words):
  _, model = trained_on(tmp_path / "data", [learned], [learned], [learned])
  folder = save(tmp_path / "new", [new])
  name = "0.tif" if new.mode == "F" else "0.png"
  refuse(model, folder / name, words)
  refuse(model, folder, words)


def test_a_model_of_npz_data_has_no_scale(tmp_path):
  frames = np.zeros((5, 2, *SIZE, 3), np.uint8)
  np.savez(tmp_path / "x.npz", frames=frames, targets=np.arange(5))
  model = model_of(recordings.load(f"npz:{tmp_path / 'x.npz'}"))
  new = save(tmp_path / "new", [deep(200, np.uint8)])
  assert read(model, new)[0, 3, 3].tolist() == [200, 200, 200]
  save(new, [deep(200)])
  refuse(model, new, "has whole numbers of more than 8 bits")
  save(new, [sprite(90)])
  refuse(model, new, "has transparent pixels")


def test_an_error_names_another_order_of_axes(tmp_path):
  frames = np.zeros((5, 2, *SIZE, 3), np.uint8)
  np.savez(tmp_path / "x.npz", frames=frames, targets=np.arange(5))
  model = model_of(recordings.load(f"npz:{tmp_path / 'x.npz'}"))
  with pytest.raises(InputError, match=r"np.moveaxis\(frames, -3, -1\)"):
    model.predict(np.zeros((2, 3, *SIZE), np.uint8))
  with pytest.raises(InputError, match=r"frames\[None\] is a sequence of one"):
    model.predict(np.zeros((*SIZE, 3), np.uint8))
