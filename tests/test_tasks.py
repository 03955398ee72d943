import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.errors import InputError
from seqsum.tasks import PRODUCT, SUM, build_task


def test_running_sum_and_product_by_hand():
  digits = jnp.array([[3, 4, 0, 9], [9, 9, 7, 7]])
  lengths = jnp.array([4, 2])
  np.testing.assert_array_equal(
    SUM.running(digits, lengths), [[3, 7, 7, 16], [9, 18, 18, 18]]
  )
  np.testing.assert_array_equal(
    PRODUCT.running(digits, lengths), [[3, 12, 0, 0], [9, 81, 81, 81]]
  )


def test_a_product_of_seven_nines_is_exact():
  digits = jnp.full((1, 7), 9)
  assert PRODUCT.running(digits, jnp.array([7]))[0, -1] == 9**7


def test_reachable_values_are_those_of_the_field():
  np.testing.assert_array_equal(SUM.reachable(4), np.arange(37))
  assert len(PRODUCT.reachable(2, min_len=2)) == 37
  assert len(PRODUCT.reachable(4, min_len=4)) == 226
  np.testing.assert_array_equal(PRODUCT.reachable(1), np.arange(10))


def test_an_unknown_task_names_the_nearest():
  with pytest.raises(InputError, match="did you mean 'product'"):
    build_task("prodct")
