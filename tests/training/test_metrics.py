import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.training.metrics import NEVER, Totals, final, is_exact
from seqsum.training.norms import Norms


def totals(**values):
  return Totals.zero().replace(**{k: jnp.float32(v) for k, v in values.items()})


def test_sums_are_divided_once():
  small = totals(
    sequences=1, loss_count=2, loss=10, squared=9, absolute=3, exact=0
  )
  large = totals(
    sequences=3, loss_count=6, loss=14, squared=3, absolute=3, exact=3
  )
  means = small.merge(large).means()
  assert means == {"loss": 3, "mse": 3, "mae": 1.5, "exact_accuracy": 0.75}


def test_merging_keeps_the_first_nonfinite_step():
  late, soon = (Totals.zero().replace(nonfinite=jnp.int32(n)) for n in (9, 7))
  assert late.merge(soon).merge(Totals.zero()).nonfinite == 7
  assert Totals.zero().merge(Totals.zero()).nonfinite == NEVER


def test_norms_are_means_and_maxima_over_steps():
  steps = [Norms.of_step(4.0, 3.0), Norms.of_step(12.0, 1.0)]
  first, second = (Totals.zero().replace(sequences=1, norms=n) for n in steps)
  means = first.replace(loss_count=1).merge(second).means()
  assert "encoded_rms" in means
  assert steps[0].merge(steps[1]).means() == pytest.approx(
    {
      "encoded_rms": 8**0.5,
      "encoded_rms_max": 12**0.5,
      "gradient_norm": 2,
      "gradient_norm_max": 3,
    }
  )
  assert Norms.zero().merge(Norms.zero()).means() == {}


@pytest.mark.parametrize("lost", [np.inf, np.nan])
def test_a_nonfinite_norm_stays_nonfinite(lost):
  """Whether it comes first, last or in between."""
  fine, bad = Norms.of_step(4.0, 3.0), Norms.of_step(lost, lost)
  for norms in (fine.merge(bad).merge(fine), bad.merge(fine), fine.merge(bad)):
    np.testing.assert_array_equal(list(norms.means().values()), [lost] * 4)


def test_exact_means_that_rounding_gives_the_target():
  predictions = jnp.array([4.4, 4.6, 3.6, jnp.nan, jnp.inf])
  np.testing.assert_array_equal(
    is_exact(predictions, jnp.full(5, 4.0)), [True, False, True, False, False]
  )


def test_final_is_the_value_at_the_last_real_step():
  values = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
  np.testing.assert_array_equal(final(values, jnp.array([3, 1])), [3, 4])


def test_products_beyond_float32_are_exact_to_a_millionth():
  y = np.float32(9.0**20)
  found = is_exact(
    np.array([y * np.float32(1 + 3e-7), y * np.float32(1 + 1e-5)]), y
  )
  np.testing.assert_array_equal(found, [True, False])
  found = is_exact(np.array([9216.4, 9216.6]), np.float32(9216))
  np.testing.assert_array_equal(found, [True, False])
