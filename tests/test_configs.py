"""Every config runs a step; invalid values are refused; options take effect."""

import functools
import importlib
import pathlib

import jax
import numpy as np
import pytest
from short_runs import first

from configs import addition, fold, importance, own
from configs import sum as post
from seqsum.runtime.devices import make_mesh
from seqsum.runtime.errors import InputError
from seqsum.sequences import tasks
from seqsum.sequences.recorded import describe
from seqsum.training.checks import check_config
from seqsum.training.experiment import build_experiment, build_schedule
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_init, compile_step
from seqsum.training.state import init_state
from seqsum.training.step import train_steps

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "__init__")
BASES = ("sum", "fold")  # the bases of most others


@pytest.mark.parametrize(
  "name", first(sorted(NAMES, key=lambda name: name not in BASES), fast=2)
)
def test_a_config_runs_one_step(name, bundled):
  config = importlib.import_module(f"configs.{name}").get_config()
  config.batch_size = 8
  if config.data.kind == "files":  # Their networks accept digits as well.
    config.data.kind = "digits"
  experiment = build_experiment(config)
  assert experiment.sampler.batch_size == 8
  mesh = make_mesh(jax.devices()[:1])
  step = compile_step(train_steps, mesh, experiment=experiment, donate=True)
  init = compile_init(experiment, mesh, experiment.sampler.shape)
  state, totals = step(init(0), Totals.zero(), None, 0, *bundled.train)
  assert state.step == 1
  assert 0 < totals.means()["loss"] < float("inf")
  assert build_schedule(config).total > 1


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_of_a_config_has_its_command(name):
  module = importlib.import_module(f"configs.{name}")
  assert f"--config=configs/{name}.py" in module.__doc__


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("loss", "cross_entrpy", "did you mean 'cross_entropy'"),
    ("loss", "l2", "config.loss='l2' is not known"),
    ("task.target", "standrd", "did you mean 'standard'"),
    (
      "sequence.curriculum",
      -0.1,
      "config.sequence.curriculum=-0.1: must be a fraction",
    ),
    ("sequence.curriculum", 1.5, "config.sequence.curriculum=1.5"),
    ("model.core", "lstn", "did you mean 'lstm'"),
    ("model.cell_activation", "tan", "did you mean 'tanh'"),
    (
      "model.hidden_sizes",
      (0,),
      "config.model.hidden_sizes=.*positive whole numbers",
    ),
    (
      "model.conv.pool",
      (2,),
      "config.model.conv.pool=.*must be as many",
    ),
    ("model.conv.pool", (0, 1), "config.model.conv.pool=.*positive whole"),
    ("model.conv.features", (), "config.model.conv.features=.*positive whole"),
    ("model.conv.group_size", 3, r"group_size=3: .* divide .*8, 16"),
    ("model.conv.group_size", -8, "group_size=-8: must be 0, or divide"),
    ("model.input_max", 0.0, "config.model.input_max=0.0"),
    ("model.input_max", float("inf"), "config.model.input_max=inf"),
    ("optimizer.clip_norm", -1.0, "config.optimizer.clip_norm=-1.0"),
    ("optimizer.ema_decay", 1.0, "config.optimizer.ema_decay=1.0"),
    ("optimizer.warmup", 1.0, "config.optimizer.warmup=1.0"),
    ("model.dense", (0,), "config.model.dense=.*positive whole numbers"),
    ("model.core", "addditive", "did you mean 'additive'"),
    (
      "model.core",
      "fold",
      "config.model.core='fold': needs config.loss='cross_entropy'",
    ),
    ("data.kind", "video", "did you mean 'videos'"),
    ("data.kind", "videos", "data.kind='videos': needs the section config.v"),
    ("data.kind", "files", "data.name='mnist': must be the format and path"),
    ("data.name", "npz:x", "data.name='npz:x': .*set config.data.kind='fil"),
    ("data.size", (64, 64), "data.size=.*needs config.data.kind='files'"),
    ("sequence.min_len", 5, "min_len=5: .* config.sequence.max_len=4"),
    ("sequence.min_len", 0, "config.sequence.min_len=0: must be at least 1"),
    ("sequence.max_len", 1 << 17, "max_len=131072: must be at most 65,536"),
    ("sequence.shift", 28, "shift=28: must be below the frame's 28 pixels"),
    ("model.conv.kernels", (29, 3), "kernels=.*too large for frames"),
    ("model.remat", -1, "config.model.remat=-1: must be a number of at least"),
    ("model.hidden_sizes", (1,) * 65, "hidden_sizes=.*at most 64"),
    ("optimizer.learning_rate", 0.0, "optimizer.learning_rate=0.0: must be a"),
    ("optimizer.learning_rate", float("nan"), "learning_rate=nan: must be a"),
    ("optimizer.decay", 1.0, "config.optimizer.decay=1.0: must be at least 0"),
    ("optimizer.b1", -0.1, "config.optimizer.b1=-0.1: must be at least 0"),
    ("optimizer.momentum", 1.0, "config.optimizer.momentum=1.0"),
    ("optimizer.clip_norm", float("inf"), "config.optimizer.clip_norm=inf"),
    ("optimizer.warmup", -0.1, "config.optimizer.warmup=-0.1"),
    ("optimizer.name", "rmsporp", "did you mean 'rmsprop'"),
    ("optimizer.schedule", "cos", "did you mean 'cosine'"),
    ("epochs", 1 << 30, "config.epochs=1073741824: gives more than"),
    ("task.name", "summ", "did you mean 'sum'"),
    (
      "model.digit_prior_std",
      -1.0,
      "config.model.digit_prior_std=-1.0: must be a number of",
    ),
    (
      "model.digit_prior_std",
      1.4,
      "config.model.digit_prior_std=1.4: needs config.model.core",
    ),
    ("sequence.num_sequences", -1, "num_sequences=-1: must be 0, or at"),
    ("sequence.num_sequences", 1 << 30, "must have fewer than"),
    ("sequence.rotate", float("nan"), "config.sequence.rotate=nan"),
    ("sequence.shift", -1, "config.sequence.shift=-1: must be a number of"),
    ("sequence.max_len", 0, "config.sequence.max_len=0|min_len=1"),
    ("batch_size", 0, "config.batch_size=0: must be at least 1"),
    ("sequence.digits", (3, 2), "config.sequence.digits=.*ascending"),
    ("sequence.digits", (10,), "config.sequence.digits=.*some of 0..9"),
    ("sequence.rotate", -1.0, "sequence.rotate=-1.0"),
    ("sequence.scale", 1.0, "sequence.scale=1.0"),
    ("sequence.elastic", -1.0, "sequence.elastic=-1.0"),
    ("checkpoint.best", "los", "did you mean 'loss'"),
    (
      "sequence.num_sequences",
      8,
      "sequence.num_sequences=8: must be 0, or at least",
    ),
  ],
)
def test_an_invalid_value_is_refused(field, value, words):
  config = post.get_config()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(InputError, match=words):
    build_experiment(config)


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("sequence.max_len", 25, "max_len=25: must be config.video.windows=4"),
    ("sequence.max_len", 4, "config.sequence.max_len=4"),
    ("video.side", 27, "config.video.side=27: must be in 28..1024"),
    ("video.windows", 0, "config.video.windows=0: must be at least 1"),
    (
      "model.core",
      "gru",
      "loss='cross_entropy': needs config.model.core='fold",
    ),
    ("loss", "mse", "model.core='fold': needs config.loss='cross_entropy'"),
    ("model.digit_prior_std", 1.0, "std=1.0: needs config.data.kind='digits'"),
    ("sequence.shift", 1, "sequence.shift=1: needs config.data.kind='digits'"),
    ("sequence.curriculum", 0.5, "curriculum=0.5: needs config.data.kind"),
  ],
)
def test_an_invalid_value_of_videos_is_refused(field, value, words):
  config = importance.get_config()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(InputError, match=words):
    build_experiment(config)


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("sequence.min_len", 3, "min_len=3: must be even: addition needs two"),
    ("sequence.max_len", 9, "max_len=9: must be even: addition needs two"),
    ("task.per_step", True, "name='addition': needs config.task.per_step=Fal"),
    ("task.name", "sum", "core='carry': needs config.task.name='addition'"),
    ("accumulate", 2, "core='carry': needs config.accumulate=1"),
    ("eval_sequences", 10**7, "eval_sequences=10000000: must be lower for"),
    ("loss", "mse", "core='carry': needs config.loss='cross_entropy'"),
    ("sequence.curriculum", 0.5, "num_sequences=6875: needs config.sequence.c"),
  ],
)
def test_an_invalid_value_of_additions_is_refused(field, value, words):
  config = addition.get_config()
  config.update_from_flattened_dict({field: value})
  with pytest.raises(InputError, match=words):
    build_experiment(config)


@pytest.mark.parametrize(
  ("kernels", "pool", "words"),
  [
    ((13, 3), (1, 1), r"conv.kernels=\(13, 3\): too large"),
    ((4, 5), (2, 1), r"conv.kernels=\(4, 5\): too large"),
    ((4, 3), (2, 1), None),  # 12, 9, 4, 2
    ((4, 3), (2, 4), r"conv.pool=\(2, 4\): too large for frames of \(12"),
    ((4, 3), (10, 1), r"conv.pool=\(10, 1\): too large"),
  ],
)
def test_an_encoder_too_large_for_its_frames_is_refused(kernels, pool, words):
  config = own.get_config()
  config.data.name = "npz:x.npz"
  config.model.conv.update(
    features=(4, 4), kernels=kernels, strides=(1, 1), pool=pool
  )
  targets = np.ones((3, 1), np.float32)
  lengths, train = np.ones(3, np.int32), np.arange(3)
  facts = describe((12, 12, 1), False, lengths, targets, train)
  if words:
    with pytest.raises(InputError, match=words):
      build_experiment(config, facts)
  else:
    experiment = build_experiment(config, facts)
    state = jax.eval_shape(
      functools.partial(init_state, experiment, image_shape=(12, 12, 1)), 0
    )
    assert state.params


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"core": "fold", "target": "log"}, "needs config.task.target='raw'"),
    ({"core": "additive"}, "core='additive': needs config.loss='mse' or "),
    ({"core": "fold", "per_step": True, "max_len": 99}, "per_step=True: .*99"),
  ],
)
def test_invalid_combinations_with_known_folds_are_refused(changes, words):
  config = post.get_config()
  config.loss = "cross_entropy"
  config.model.core = changes["core"]
  config.task.target = changes.get("target", "raw")
  config.task.per_step = changes.get("per_step", False)
  config.sequence.max_len = changes.get("max_len", 4)
  with pytest.raises(InputError, match=words):
    build_experiment(config)


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    (
      "task.center_targets",
      1.5,
      "config.task.center_targets=1.5: must be a fraction",
    ),
    (
      "model.core",
      "gru",
      "center_targets=0.9: needs config.model.core='fold' or",
    ),
    (
      "task.name",
      "product",
      "center_targets=0.9: needs config.task.name='sum'",
    ),
    (
      "task.per_step",
      True,
      "center_targets=0.9: needs config.task.per_step",
    ),
    ("accumulate", 2, "center_targets=0.9: needs config.accumulate=1"),
  ],
)
def test_center_targets_needs_values_of_other_fields(field, value, words):
  config = fold.get_config()
  config.task.center_targets = 0.9
  config.update_from_flattened_dict({field: value})
  with pytest.raises(InputError, match=words):
    build_experiment(config)


def test_cross_entropy_needs_raw_targets():
  config = post.get_config()
  config.loss, config.task.target = "cross_entropy", "standard"
  with pytest.raises(InputError, match=r"needs config.task.target='raw'"):
    build_experiment(config)


@pytest.fixture(scope="module")
def program(bundled):
  """Changes a field of configs/sum.py and lowers the step to a program."""

  @functools.cache
  def program(field="seed", value=0):
    config = post.get_config()
    config.batch_size = 4
    config.update_from_flattened_dict({field: value})
    experiment = build_experiment(config)
    init = functools.partial(init_state, experiment, image_shape=(28, 28, 1))
    step = jax.jit(functools.partial(train_steps, experiment=experiment))
    arguments = jax.eval_shape(init, 0), Totals.zero(), None, 0, *bundled.train
    return step.lower(*arguments).as_text()

  return program


@pytest.mark.parametrize(
  ("field", "value"),
  first(
    [
      ("loss", "cross_entropy"),
      ("log_norms", True),
      ("task.target", "standard"),
      ("task.target", "log"),
      ("sequence.curriculum", 0.5),
      ("model.core", "gru_keras1"),
      ("model.core", "lstm"),
      ("model.core", "simple"),
      ("model.cell_activation", "relu"),
      ("model.hidden_sizes", ()),
      ("model.conv.pool", (2, 1)),
      ("model.input_max", 255.0),
      ("model.core", "additive"),
      ("model.dense", (8,)),
      ("sequence.rotate", 10.0),
      ("sequence.scale", 0.1),
      ("sequence.elastic", 2.0),
      ("sequence.num_sequences", 100),
      ("optimizer.clip_norm", 1.0),
      ("optimizer.ema_decay", 0.9),
      ("optimizer.warmup", 0.1),
    ],
    fast=7,
  ),
)
def test_an_option_changes_the_step(field, value, program):
  assert program(field, value) != program()


def test_the_curriculum_is_a_fraction_of_training():
  config = post.get_config()
  config.sequence.curriculum = 0.25
  assert (
    build_experiment(config).sampler.curriculum_steps == 9_375
  )  # of 37,500 steps


def test_products_of_two_digits_have_37_classes():
  from configs import product

  assert build_experiment(product.get_config()).model.outputs == 37


def test_the_schedule_is_that_of_the_original_post():
  schedule = build_schedule(post.get_config())
  assert schedule.total * schedule.batch_size == 1_200_000
  assert schedule.epoch_end(1) == 1_875
  assert schedule.epoch(1_875) == 1
  assert schedule.epoch(1_876) == 2
  assert schedule.next_event(0) == 250
  assert schedule.next_event(1_800) == 1_875


def test_a_task_that_is_added_later_has_a_valid_name(monkeypatch):
  task = tasks.Task("odd", 0.0, lambda count, digit: count + digit % 2)
  monkeypatch.setitem(tasks.TASKS, "odd", task)
  config = fold.get_config()
  config.task.name = "odd"
  check_config(config)
  assert build_experiment(config).sampler.task.name == "odd"


@pytest.mark.parametrize("digits", [1, 4, 100, 800])
def test_long_additions_have_fewer_test_sequences(digits):
  config = addition.get_config()
  config.addition.digits = digits
  config.sequence.num_sequences = 0
  check_config(config)
  assert config.eval_sequences * digits == 40_000 // digits * digits
