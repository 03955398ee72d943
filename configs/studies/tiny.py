"""Does the learning rate matter? The smallest example of a study.

    python -m seqsum.study --study=configs/studies/tiny.py

Takes under two minutes on two cores, with the bundled digits.
"""

import ml_collections

from configs import sum_tiny as base
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  return base.get_config()


def get_study() -> Study:
  return Study(
    question="Does the learning rate matter?",
    base=get_config(),
    variants={
      f"{rate:g}": {"optimizer.learning_rate": rate}
      for rate in (1e-4, 1e-3, 1e-2)
    },
    display_names={
      f"{rate:g}": f"learning rate {rate:g}" for rate in (1e-4, 1e-3, 1e-2)
    },
    seeds=2,
  )
