"""Why is the product harder than the sum, and what helps?

    python -m seqsum.study --study=configs/studies/operation.py

Sequences of two digits. The original post's network on both tasks (80,000
training sequences); then its GRU with the encoder of sum_small.py and one
change at a time (120,000 training sequences); three seeds.
"""

import ml_collections

from configs import sum as post
from configs import sum_small as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study, fields


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 12_000
  config.checkpoint.keep = 1
  config.sequence.min_len = 2
  config.sequence.max_len = 2
  config.task.name = "product"
  config.model.hidden_sizes = (200, 100)
  return config


def get_study() -> Study:
  posts = fields(post.get_config(), "model", "optimizer", "batch_size") | {
    "sequence.shift": 0,
    "sequences_per_epoch": 8_000,
  }
  return Study(
    question="Why is the product harder than the sum, and what helps?",
    base=get_config(),
    variants={
      "post-sum": posts | {"task.name": "sum"},
      "post-product": posts,
      "sum": {"task.name": "sum"},
      "product": {},
      "standard": {"task.target": "standard"},
      "log": {"task.target": "log"},
      "huber": {"loss": "huber"},
      "classes": {"loss": "cross_entropy"},
      "every-step": {"task.per_step": True},
      "grow": {"sequence.curriculum": 0.3},  # lengths grow from one to two
      "standard-every": {"task.target": "standard", "task.per_step": True},
      "classes-every": {"loss": "cross_entropy", "task.per_step": True},
    },
    display_names={
      "post-sum": "the post's,\nsum",
      "post-product": "the post's,\nproduct",
      "standard": "standardized",
      "log": "logarithms",
      "huber": "Huber loss",
      "classes": "cross entropy",
      "every-step": "every value",
      "grow": "one digit first",
      "standard-every": "standardized,\nevery value",
      "classes-every": "cross entropy,\nevery value",
    },
    seeds=3,
    figures=("pairs", "learning", "final", "targets"),
    measure=probes.by_pair,
    conclude=question_tables.pairs,
  )
