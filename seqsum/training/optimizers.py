"""Optax optimizers and learning-rate schedules.

To add an optimizer, add a line to `OPTIMIZERS`. It is called with the learning
rate and all fields of `config.optimizer`, of which it takes its own.
"""

import optax

OPTIMIZERS = {
  # Tieleman & Hinton 2012, as in Keras: epsilon is under the square root.
  "rmsprop": lambda rate, decay=0.9, **_: optax.rmsprop(
    rate, decay=decay, eps=1e-7
  ),
  "adam": lambda rate, b1=0.9, **_: optax.adam(rate, b1=b1),
  "sgd": lambda rate, momentum=0.9, **_: optax.sgd(rate, momentum=momentum),
}
SCHEDULES = {
  "constant": lambda rate, steps: rate,
  # Half a cosine from the rate to 0 (Loshchilov & Hutter 2017).
  "cosine": lambda rate, steps: optax.cosine_decay_schedule(rate, steps),
}


def build_optimizer(
  name: str,
  learning_rate: float,
  *,
  schedule: str = "constant",
  steps: int = 1,
  clip_norm: float = 0.0,
  warmup: float = 0.0,
  **parameters: float,
) -> optax.GradientTransformation:
  """Builds an optimizer with its learning-rate schedule.

  Args:
    name: A key of `OPTIMIZERS`.
    learning_rate: The peak rate.
    schedule: A key of `SCHEDULES`.
    steps: Training steps.
    clip_norm: Largest global gradient norm (Pascanu et al. 2013); 0: any.
    warmup: Fraction of the steps in which the rate rises linearly from 0 (Goyal
      et al. 2017); the schedule covers the rest.
    **parameters: Parameters of optimizers by name; others' are ignored.
  """
  rise = round(warmup * steps)
  rate = SCHEDULES[schedule](learning_rate, max(1, steps - rise))
  if rise:
    # Step 0 has a positive rate, so that it changes the parameters.
    line = optax.linear_schedule(learning_rate / rise, learning_rate, rise - 1)
    rest = rate if callable(rate) else optax.constant_schedule(rate)
    rate = optax.join_schedules([line, rest], [rise])
  optimizer = OPTIMIZERS[name](rate, **parameters)
  if not clip_norm:
    return optimizer
  return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
