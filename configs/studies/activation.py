"""When does relu make the loss infinite?

    python -m seqsum.study --study=configs/studies/activation.py

The original post's network for 150 steps of 32 sequences, three seeds. Compares
tanh, relu in the convolutions, and relu also in the GRU's candidate; pixels in
0..1 and in 0..255; today's GRU and that of Keras 1; RMSProp at two learning
rates and SGD with momentum 0.9; with and without clipping to norm 1.
"""

import itertools

import ml_collections

from configs import sum as base
from seqsum.studies import divergence
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 1
  config.sequences_per_epoch = 4_800
  config.eval_sequences = 1_000
  config.log_every = 10
  config.log_norms = True
  config.sequence.shift = 0
  config.optimizer.schedule = "constant"
  config.checkpoint.every_steps = 200
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  activations = {
    "tanh": {"model.activation": "tanh"},
    "relu": {"model.activation": "relu"},
    "relu+cell": {
      "model.activation": "relu",
      "model.cell_activation": "relu",
    },
  }
  inks, cores = (1.0, 255.0), ("gru", "gru_keras1")
  rmsprop = itertools.product(
    activations, inks, cores, ("rmsprop",), (1e-3, 1e-2), (0.0, 1.0)
  )
  sgd = itertools.product(
    activations, inks, ("gru",), ("sgd",), (1e-3,), (0.0, 1.0)
  )
  variants = {}
  for activation, ink, core, optimizer, rate, clip in (*rmsprop, *sgd):
    needs_clip = activation == "relu+cell" or (activation, optimizer) == (
      "relu",
      "sgd",
    )
    if clip and not needs_clip:
      continue
    words = [activation, f"{ink:g}", core, f"{rate:g}"]
    words[3:3] = ["sgd"] if optimizer == "sgd" else []
    name = "-".join(words + ["clipped"] if clip else words)
    variants[name] = activations[activation] | {
      "model.input_max": ink,
      "model.core": core,
      "optimizer.name": optimizer,
      "optimizer.learning_rate": rate,
      "optimizer.clip_norm": clip,
    }
  return Study(
    question="When does relu make the loss infinite?",
    base=get_config(),
    variants=variants,
    figures=("courses",),
    conclude=divergence.table,
  )
