r"""The encoder of An et al. (arXiv 2008.10400), learned from sums. For a GPU.

    python -m seqsum.study --study=configs/beyond/ten_layers.py \
        --manual_dir=FOLDER

Ten valid 3x3 convolutions of 32 to 176 filters without pooling, with group
normalization in place of batch normalization, so that a frame does not depend
on the others of its batch. It takes 200 times the operations of `fold.py`, days
on a CPU. eye.py compares encoders for a CPU on the same task.

Budget: 2,475,000 pairs per run, 90 passes over the training images; five seeds.
"""

import ml_collections

from configs.beyond import eye as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 618_750
  config.model.conv.features = tuple(range(32, 177, 16))
  config.model.conv.kernels = (3,) * 10
  config.model.conv.strides = (1,) * 10
  config.model.conv.pool = (1,) * 10
  config.model.conv.group_size = 16
  config.model.dense = ()
  config.model.dtype = "bfloat16"
  return config


def get_study() -> Study:
  return Study(
    question="How many digits does a network of ten layers misread?",
    base=get_config(),
    variants={"ten-layers": {}},
    seeds=5,
    measure=probes.misread,
    conclude=question_tables.misread,
  )
