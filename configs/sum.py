"""The original experiment: the sum of up to four MNIST digits, end to end.

    python -m seqsum.main --config=configs/sum.py

A CNN encodes each frame, two GRU layers read the frames in order, and a dense
layer predicts one number. The only label is the sum.

23 minutes on two cores of an AMD EPYC virtual machine, seed 0: test MSE 0.33,
92.3% of the sums exact. With `--config.sequence.shift=0`: 0.71, 89.5%; with
`--config.batch_size=128` as well: 0.77, 82.4%.

Source: Ben Caine's post of 2016 (README.md), MSE 0.61. Not the post's: shifted
training frames, the cosine schedule, Flax's GRU, and no dropout.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()

  config.seed = 0  # of the parameters and of the training sequences
  config.epochs = 20
  config.sequences_per_epoch = 60_000  # freshly drawn, see num_sequences
  config.batch_size = 32  # sequences per step, over all devices
  config.accumulate = 1  # micro-batches per device (gradient accumulation)
  config.log_every = 250  # steps
  config.steps_per_call = 0  # 0: one on a CPU, up to `log_every` elsewhere
  config.eval_sequences = 10_000  # of the validation and of the test split
  config.eval_batch_size = 200
  config.loss = "mse"  # or mae, huber, log_cosh; cross_entropy: a class per sum
  config.log_norms = False  # log activation RMS and gradient norm
  config.deterministic = True  # repeat bit for bit on a GPU, 3 to 5% slower
  config.matmul_precision = "default"  # TF32 on many GPUs; or high, highest
  config.on_nonfinite = "stop"  # or skip the update, or continue (for studies)

  config.data = ml_collections.ConfigDict()
  config.data.kind = "digits"  # or videos (of digits, configs/importance.py),
  # files (your own sequences, configs/own.py)
  config.data.name = "mnist"  # or digits (bundled), a TFDS name such as kmnist;
  # with kind files: npz:FILE, npz:FOLDER, frames:FOLDER or eccv16:FILE
  config.data.data_dir = ""  # of TFDS ("": its default) and of relative paths
  config.data.manual_dir = ""  # folder with the four original MNIST files
  config.data.fallback = "digits"  # if MNIST is unavailable; "": an error
  config.data.size = ()  # (height, width) to resize your own frames to

  config.sequence = ml_collections.ConfigDict()
  config.sequence.min_len = 1  # frames
  config.sequence.max_len = 4
  config.sequence.packed = True  # stratified, sorted lengths: padding skipped
  config.sequence.shift = 1  # pixels, at most; the post: 0
  config.sequence.rotate = 0.0  # degrees, at most
  config.sequence.scale = 0.0  # fraction, at most
  config.sequence.elastic = 0.0  # pixels of local displacement, at most
  config.sequence.curriculum = 0.0  # fraction of training in which the maximum
  # length rises from 1 to max_len; 0 disables
  config.sequence.num_sequences = 0  # size of a fixed training set; 0: infinite
  config.sequence.digits = tuple(range(10))  # classes that frames show

  config.task = ml_collections.ConfigDict()
  config.task.name = "sum"  # or product, max, parity, mod10, threes, sorted,
  # distinct; of two numbers addition, subtraction (configs/addition.py)
  config.task.per_step = False  # True: a target at every frame
  config.task.target = "raw"  # or standard (z-score), log
  config.task.center_targets = 0.0  # fraction of the batch-mean error that is
  # subtracted from the targets; only for the cores fold and additive

  config.model = ml_collections.ConfigDict()
  config.model.core = "gru"  # or gru_keras1 (the post's), lstm, simple; bigru,
  # bilstm, attention; fold, carry (need loss cross_entropy), additive
  config.model.digit_prior_std = 0.0  # in digits: std of a Gaussian prior on
  # each frame's logits, core fold only; 0 disables
  config.model.cell_activation = "tanh"  # of the cell; or relu, gelu, sigmoid
  config.model.recurrence = "fused"  # PackedModel; flax: nn.RNN, same values
  config.model.remat = 0  # encoder frames per rematerialized chunk; 0: never
  config.model.input_max = 1.0  # value of a white pixel; 255.0: raw pixels
  config.model.activation = "tanh"  # of the encoder; or relu, gelu, sigmoid
  config.model.conv = ml_collections.ConfigDict()
  config.model.conv.features = (8, 16)
  config.model.conv.kernels = (4, 3)  # pixels
  config.model.conv.strides = (1, 1)  # pixels
  config.model.conv.pool = (1, 1)  # max-pooling window; 1: none
  config.model.conv.group_size = 0  # channels normalized together; 0: none
  config.model.dense = ()  # dense layers between convolutions and recurrence
  config.model.hidden_sizes = (200, 100)  # of the recurrent layers; (): none
  config.model.dtype = "float32"  # of the computation, or bfloat16

  config.optimizer = ml_collections.ConfigDict()
  config.optimizer.name = "rmsprop"  # or adam, sgd
  config.optimizer.learning_rate = 1e-3
  config.optimizer.decay = 0.9  # rmsprop: of the mean square
  config.optimizer.b1 = 0.9  # adam: decay of the mean gradient
  config.optimizer.momentum = 0.9  # sgd
  config.optimizer.clip_norm = 0.0  # global gradient norm; 0 disables
  config.optimizer.schedule = "cosine"  # or constant, as in the post
  config.optimizer.warmup = 0.0  # fraction of training with a rising rate
  config.optimizer.ema_decay = 0.0  # of the parameters' moving average, which
  # is evaluated in their place; 0 disables

  config.checkpoint = ml_collections.ConfigDict()
  config.checkpoint.every_steps = 1_000  # and at the end of every epoch
  config.checkpoint.keep = 2  # newest; the best is kept as well
  config.checkpoint.best = "mse"  # the checkpoint that is tested: lowest
  # validation mse, lowest validation loss, or last

  return config
