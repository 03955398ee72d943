"""How large must the network be?

    python -m seqsum.study --study=configs/studies/complexity.py

Networks of fifteen thousand to five million parameters, 60,000 training
sequences each, three seeds. After all runs, their training throughput is
measured side by side for two minutes; leave the machine idle meanwhile.
"""

import ml_collections

from configs import sum as post
from configs import sum_small as base
from seqsum.studies.plan import Study, fields


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 5
  config.sequences_per_epoch = 12_000
  config.checkpoint.keep = 1
  return config


def _encoder(features, kernels, strides=(1, 1), pool=(1, 1)) -> dict:
  return {
    "model.conv.features": features,
    "model.conv.kernels": kernels,
    "model.conv.strides": strides,
    "model.conv.pool": pool,
  }


def get_study() -> Study:
  narrow = {"model.conv.features": (4, 8, 16)}
  wide = {"model.conv.features": (32, 64, 128)}
  return Study(
    question="How large must the network be?",
    base=get_config(),
    variants={
      "post": fields(post.get_config(), "model", "optimizer", "batch_size"),
      "small": {},
      "narrow": narrow,
      "narrow-gru16": narrow | {"model.hidden_sizes": (16,)},
      "wide": wide,
      "two-layers": _encoder((16, 32), (5, 3), strides=(2, 2)),
      "pooled": _encoder((16, 32), (4, 3), pool=(2, 2)),
      "gru32": {"model.hidden_sizes": (32,)},
      "gru256": {"model.hidden_sizes": (256,)},
      "gru64,64": {"model.hidden_sizes": (64, 64)},
      "lstm": {"model.core": "lstm"},
      "simple": {"model.core": "simple"},
    },
    display_names={
      "post": "the post's",
      "small": "GRU of 128",
      "narrow": "narrow",
      "narrow-gru16": "narrow, GRU of 16",
      "two-layers": "two layers, strided",
      "pooled": "two layers, max pooling",
      "gru32": "GRU of 32",
      "gru256": "GRU of 256",
      "gru64,64": "GRUs of 64 and 64",
      "lstm": "LSTM",
      "simple": "simple recurrence",
    },
    figures=("cost", "learning", "final"),
    timed=True,
  )
