"""Every config loads, takes an override and runs one step."""

import functools
import importlib
import pathlib

import jax
import pytest

from seqsum.experiment import build_recipe, build_schedule
from seqsum.metrics import Totals
from seqsum.step import init_state, train_steps

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize("name", NAMES)
def test_a_config_runs_one_step(name, bundled):
  config = importlib.import_module(f"configs.{name}").get_config()
  config.batch_size = 8
  recipe = build_recipe(config)
  assert recipe.sampler.batch_size == 8
  step = jax.jit(functools.partial(train_steps, recipe=recipe))
  init = jax.jit(
    functools.partial(init_state, recipe, image_shape=(28, 28, 1)),
    compiler_options={"xla_backend_optimization_level": 1},
  )
  state, totals = step(init(0), Totals.zero(), 0, *bundled.train)
  assert state.step == 1
  assert 0 < totals.means()["loss"] < float("inf")
  assert build_schedule(config).total > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_a_document(name):
  module = importlib.import_module(f"configs.{name}")
  assert f"--config=configs/{name}.py" in module.__doc__


def test_the_posts_run_is_twenty_epochs_of_sixty_thousand():
  from configs import sum as post

  schedule = build_schedule(post.get_config())
  assert schedule.total * schedule.batch_size == 1_200_000
  assert schedule.epoch_end(1) == 1_875
  assert schedule.epoch(1_875) == 1
  assert schedule.epoch(1_876) == 2
  assert schedule.next_event(0) == 250
  assert schedule.next_event(1_800) == 1_875
