r"""Length generalization: trained on 1..10 digits, tested on up to 1,000.

    python -m seqsum.study --study=configs/beyond/length.py \
        --manual_dir=FOLDER

Best published: 96, 92 and 79% exact at 20, 50 and 100 digits (Deep Sets with a
CNN: dpernes/deepsets-digitsum, read off its plot; digits 1..9 of infiMNIST,
which are deformed training digits). The GRU and LSTM in the notebook of Deep
Sets (Zaheer et al. 2017) are at 0 from 20 digits on. Target, on MNIST's test
digits: 97, 93 and 87%. The mean absolute error at 1,000 is reported too.

Budget: 400,000 sequences of 5.5 digits, 2.2 million frames per run, for the
cores with addition built in (theirs: 150,000 of 5, each 100 times); a quarter
of it for the learned cores, which longer training does not help to generalize.
All variants but `deep` use the encoder of fold.py; three seeds. "Deformed" are
training digits, moved as in training.
"""

import functools

import ml_collections

from configs import deep
from configs import fold as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 100_000
  config.sequence.max_len = 10
  return config


def get_study() -> Study:
  learned = {
    "sequences_per_epoch": 25_000,
    "loss": "mse",
    "model.hidden_sizes": (128,),
  }
  return Study(
    question="Which cores generalize to longer sequences than in training?",
    base=get_config(),
    variants={
      "fold": {},
      "deep": deep.ENCODER,
      "additive": {
        "model.core": "additive",
        "loss": "mae",  # as in Deep Sets
        "task.center_targets": 0.9,
      },
      "gru": learned | {"model.core": "gru"},
      "lstm": learned | {"model.core": "lstm"},
      "simple": learned | {"model.core": "simple"},
    },
    display_names={
      "fold": "fold, built in",
      "deep": "fold, deep encoder",
      "additive": "additive, built in",
      "gru": "GRU",
      "lstm": "LSTM",
      "simple": "simple recurrence",
    },
    seeds=3,
    figures=("lengths", "learning", "final"),
    measure=functools.partial(
      probes.by_length,
      lengths=(1, 2, 3, 5, 8, *range(10, 16), 20, 50, 100, 300, 1000),
      deformed=(20, 50, 100),
    ),
    conclude=question_tables.together(
      question_tables.seeds,
      functools.partial(question_tables.lengths, digits=1),
      functools.partial(question_tables.lengths, digits=1, part="deformed"),
    ),
  )
