"""Predictions of cores that see the whole sequence."""

import numpy as np
import pytest

from configs import sum_tiny
from seqsum.inference.trained import TrainedModel
from seqsum.training.experiment import build_experiment
from seqsum.training.state import init_state


@pytest.mark.slow
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("core", ["bigru", "attention"])
def test_values_so_far_are_those_of_the_first_frames(core, per_step):
  """With a target at every step, they see later frames as in training."""
  config = sum_tiny.get_config()
  config.model.core, config.task.per_step = core, per_step
  experiment = build_experiment(config)
  shape = experiment.sampler.shape
  params = init_state(experiment, 0, shape).params
  model = TrainedModel("tiny", 0, experiment, params, shape)
  frames = np.random.default_rng(0).random((2, 5, *shape), np.float32)
  found = model.predict(frames)
  assert found.shape == (2, 5)
  shorter = model.predict(frames[:, :3])
  same = np.isclose(found[:, :3], shorter, rtol=1e-5, atol=1e-5).all()
  assert same != per_step
  np.testing.assert_allclose(model.predict(frames[1]), found[1], rtol=1e-5)
