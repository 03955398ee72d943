"""Multi-digit addition and subtraction with the carry built in.

The label is the digits of a sum; the carries between its columns are latent. If
the digits on the frames are independent, each with a known distribution, column
by column addition is a hidden Markov chain whose state is the carry: the sum of
two digits and a carry c is s + 10 c', with the digit s of the sum, which is
observed, and the next carry c'. The forward algorithm (Rabiner 1989) gives the
likelihood of all digits of the sum in O(N). DeepProbLog (Manhaeve et al. 2018)
and DeepProofLog (arXiv 2511.08581) pose the task.

Such labels have a symmetry. A relabelling tau of the digits keeps the last
digit of every column's sum if tau(a) + tau(b) = a + b mod 10 for all digits a
and b, so tau(a) = a + c with 2 c = 0 mod 10: c is 0 or 5. Which of these two
*codes* a network begins to learn is random, and with c = 5 it gets the carry of
half of the columns wrong. So the code is a latent variable of the network, see
`training/addition_loss.py`. Differences have ten codes, because tau(a) - tau(b)
= a - b mod 10 for every c (`Addition.shifts`).

They have local optima, too. A column's sum modulo 10 has the product of its
digits' Fourier coefficients, p_k(a) p_k(b) = w^(k (a + b)) with w = exp(2 pi i
/ 10), which p_k(a) = w^(ka) solves and so does p_k(a) = -w^(ka): each frequency
k is learned by itself, with a sign by chance. Only two choices of signs are the
coefficients of a digit, those of the codes. Others end in a mixture: a network
that was sure of "a - 2 or a + 2", half each, had p_5 right and p_2 of the wrong
sign. So the head predicts the logits of the classes as waves over the digits,
and the lowest frequency, whose sign is that of the code, is learned first. One
wave has room for all ten digits. Once it is learned, the other digit of a
column is known, and that determines the sign of every other frequency.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seqsum.models.distribution import LOWEST
from seqsum.sequences.addition import Addition
from seqsum.sequences.shapes import Lengths, Values

WAVES = 9  # a function of ten classes, but for a constant
HIGHER = 0.2  # amplitude of all waves but the two of lowest frequency


@dataclasses.dataclass(frozen=True)
class CarryCore:
  """A known fold for `Addition`: the model reads digits, the loss adds them.

  The head predicts coefficients of 9 waves, whose sum is the logits of the 10
  classes, and a logit of each code c in `Addition.shifts`, by which class k is
  the digit k + c mod 10. The model's outputs are the log-probabilities, of the
  classes first.

  Attributes:
    task: The addition or subtraction.
  """

  task: Addition

  @property
  def outputs(self) -> int:
    return WAVES + len(self.task.shifts)

  def inputs(self, outputs: jax.Array) -> jax.Array:
    """[..., 9 + codes] of the head -> [..., 10 + codes] log-probabilities."""
    classes = outputs[..., :WAVES] @ jnp.asarray(waves())
    parts = classes, outputs[..., WAVES:]
    return jnp.concatenate([nn.log_softmax(part) for part in parts], axis=-1)

  def digits(self, inputs: jax.Array) -> jax.Array:
    """[..., 10 + codes] -> [...] int32, the likeliest digits."""
    classes, code = inputs[..., :10].argmax(-1), inputs[..., 10:].argmax(-1)
    shift = jnp.asarray(self.task.shifts)[code]
    digits = (classes + shift).astype(jnp.int32)
    return jnp.where(digits < 10, digits, digits - 10)

  def probabilities(self, inputs: jax.Array) -> jax.Array:
    """Probabilities of the digits, [..., 10], with the code summed out."""
    classes, code = jnp.exp(inputs[..., :10]), jnp.exp(inputs[..., 10:])
    shifted = [jnp.roll(classes, c, axis=-1) for c in self.task.shifts]
    return (jnp.stack(shifted, axis=-1) * code[..., None, :]).sum(axis=-1)

  def log_likelihoods(
    self, inputs: jax.Array, sums: Values, lengths: Lengths
  ) -> jax.Array:
    """[codes, B], the log-probability of sums under each code.

    Args:
      inputs: [B, T, 10 + codes].
      sums, lengths: As for `log_likelihood`.
    """
    task, classes = self.task, inputs[..., :10]
    return jnp.stack(
      [
        log_likelihood(
          jnp.roll(classes, shift, axis=-1), sums, lengths, task.subtracts
        )
        for shift in task.shifts
      ]
    )

  def log_probability(self, inputs: jax.Array, sums: Values) -> jax.Array:
    """Log-probability of sums, with one latent code for each sequence.

    Args:
      inputs: [B, 2N, 10 + codes], without padding.
      sums: [B, N + 1] the digits, least significant first.

    Returns:
      [B] float32.
    """
    lengths = jnp.full(len(inputs), inputs.shape[1])
    prior = nn.log_softmax(inputs[..., 10:].mean(axis=1))  # [B, codes]
    likelihoods = self.log_likelihoods(inputs, sums, lengths)
    return jax.nn.logsumexp(prior + likelihoods.T, axis=1)

  def is_folded_by_loss(self, time: int) -> bool:
    return True

  def start(self, rows: int, time: int) -> jax.Array:
    raise NotImplementedError("the loss adds")

  def step(self, time, carry, inputs):
    raise NotImplementedError("the loss adds")


def waves() -> np.ndarray:
  """[9, 10] float32: cos and sin of the frequencies 1..4, cos of 5.

  Those of frequency 1 come first and have amplitude 1, the others `HIGHER`.
  """
  angles = 2 * np.pi * np.outer(np.arange(1, 6), np.arange(10)) / 10
  both = np.stack([np.cos(angles), np.sin(angles)], axis=1).reshape(10, 10)
  both[2:] *= HIGHER
  return both[:WAVES].astype(np.float32)


def log_likelihood(
  digits: jax.Array, sums: Values, lengths: Lengths, subtracts: bool = False
) -> jax.Array:
  """Log-probability of all digits of the sum of two numbers.

  Args:
    digits: [B, T, 10] float32, log-probabilities of the digit on each frame, in
      the order of `Addition`.
    sums: [B, N + 1] float32, the digits 0..9 of the sum, least significant
      first; the last is 0 or 1. 2N is at least T.
    lengths: [B] how many frames are real; the others are 0.
    subtracts: Whether `sums` are differences, see `addition.Subtraction`.

  Returns:
    [B] float32.

  Raises:
    ValueError: T exceeds 2N.
  """
  columns = sums.shape[1] - 1
  totals = column_totals(digits, lengths, columns, subtracts)  # [B, N, 19]
  # [N, B, 2, 2]: log-probability of the observed digit and the next carry,
  # given the carry before: that the digits sum to s + 10 next - carry.
  carry = np.arange(2)
  wanted = sums[:, :-1, None, None].astype(jnp.int32)
  wanted += (10 * carry[None, :] - carry[:, None])[None, None]
  padded = jnp.pad(totals, ((0, 0), (0, 0), (1, 1)), constant_values=LOWEST)
  index = jnp.clip(wanted + 1, 0, padded.shape[-1] - 1)
  steps = jnp.take_along_axis(
    padded, index.reshape(*index.shape[:2], 4), axis=-1
  ).reshape(index.shape)

  def step(forward, moves):  # [B, 2], [B, 2, 2]
    return jax.nn.logsumexp(forward[:, :, None] + moves, axis=1), None

  first = int(subtracts)  # the carry into the least significant column
  start = jnp.full((len(sums), 2), LOWEST).at[:, first].set(0.0)
  forward, _ = jax.lax.scan(step, start, jnp.moveaxis(steps, 1, 0))
  last = sums[:, -1:].astype(jnp.int32)
  return jnp.take_along_axis(forward, last, axis=1)[:, 0]


def column_totals(
  digits: jax.Array, lengths: Lengths, columns: int, subtracts: bool = False
) -> jax.Array:
  """The distribution of the sum of the two digits of each column.

  Args:
    digits, lengths, subtracts: As for `log_likelihood`.
    columns: N.

  Returns:
    [B, N, 19] float32, log-probabilities of 0..18.

  Raises:
    ValueError: T exceeds 2N.
  """
  batch, time, count = digits.shape
  if time > 2 * columns:
    raise ValueError(f"{time} frames need more than {columns} columns")
  zero = jnp.full(count, LOWEST).at[0].set(0.0)
  is_real = np.arange(time)[None] < lengths[:, None]
  digits = jnp.where(is_real[..., None], digits, zero[None, None])
  more = jnp.broadcast_to(zero, (batch, 2 * columns - time, count))
  digits = jnp.append(digits, more, axis=1)
  pairs = digits.reshape(batch, columns, 2, count)
  first, second = pairs[:, :, 0], pairs[:, :, 1]
  if subtracts:  # the digit d counts as 9 - d
    second = second[..., ::-1]
  # second[total - first digit], for every total and first digit
  index = np.arange(2 * count - 1)[:, None] - np.arange(count)[None, :]
  index = np.where((index < 0) | (index >= count), count, index)
  second = jnp.pad(second, ((0, 0), (0, 0), (0, 1)), constant_values=LOWEST)
  return jax.nn.logsumexp(first[:, :, None, :] + second[..., index], axis=-1)
