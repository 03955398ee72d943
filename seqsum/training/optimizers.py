"""Optax optimizers and learning-rate schedules."""

import math

import optax

from seqsum.runtime.errors import choose, require

SCHEDULES = {
  "constant": lambda rate, steps: rate,
  # From the rate to nothing along half a cosine (Loshchilov & Hutter 2017).
  "cosine": lambda rate, steps: optax.cosine_decay_schedule(rate, steps),
}

OPTIMIZERS = {
  # Tieleman & Hinton 2012, as Keras has it: the square root is taken of the
  # mean square plus epsilon.
  "rmsprop": lambda rate, decay: optax.rmsprop(rate, decay=decay, eps=1e-7),
  "adam": lambda rate, decay: optax.adam(rate, b1=decay),
  "sgd": lambda rate, decay: optax.sgd(rate, momentum=decay),
}


def build_optimizer(
  name: str,
  learning_rate: float,
  decay: float = 0.9,
  schedule: str = "constant",
  steps: int = 1,
  clip_norm: float = 0.0,
  warmup: float = 0.0,
) -> optax.GradientTransformation:
  """An optimizer.

  Args:
    name: 'rmsprop', 'adam' or 'sgd'.
    learning_rate: The highest rate, above 0.
    decay: In 0..1 (1 excluded); of RMSProp's mean square, of Adam's mean
      gradient (b1), SGD's momentum.
    schedule: 'constant' or 'cosine'.
    steps: How many steps the schedule lasts.
    clip_norm: Gradients whose global norm is larger are scaled down to it
      (Pascanu et al. 2013) before anything else; 0 for none.
    warmup: In which share of the steps, 0..1 (1 excluded), the rate rises from
      0 along a line (Goyal et al. 2017); the schedule has the rest.

  Raises:
    InputError: A name is not known or a number is out of its range.
  """
  require(
    learning_rate > 0 and math.isfinite(learning_rate),
    "config.optimizer.learning_rate",
    learning_rate,
    "must be a positive number, such as 1e-3",
  )
  require(
    0 <= decay < 1,
    "config.optimizer.decay",
    decay,
    "must be at least 0 and below 1, such as 0.9",
  )
  require(
    0 <= clip_norm < math.inf,
    "config.optimizer.clip_norm",
    clip_norm,
    "must be a positive number, or 0 for none",
  )
  require(
    0 <= warmup < 1,
    "config.optimizer.warmup",
    warmup,
    "must be a share of training, at least 0 and below 1",
  )
  build_rate = choose("config.optimizer.schedule", schedule, SCHEDULES)
  make = choose("config.optimizer.name", name, OPTIMIZERS)
  rise = round(warmup * steps)
  rate = build_rate(learning_rate, max(1, steps - rise))
  if rise:
    # The first step, number 0, moves already.
    line = optax.linear_schedule(learning_rate / rise, learning_rate, rise - 1)
    rest = rate if callable(rate) else optax.constant_schedule(rate)
    rate = optax.join_schedules([line, rest], [rise])
  optimizer = make(rate, decay)
  if not clip_norm:
    return optimizer
  return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
