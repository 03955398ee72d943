"""The backend that tests run on, and its tolerances.

`SEQSUM_TEST_PLATFORM=cuda` (or rocm, tpu) runs them there; by default they run
on eight devices of a CPU. The import sets the backend's variables, so it must
precede that of JAX.
"""

import functools
import os

PLATFORM = os.environ.get("SEQSUM_TEST_PLATFORM") or "cpu"
IS_CPU = PLATFORM == "cpu"
# Factor on all tolerances: the tests' own are of a CPU, and other backends sum
# in another order. Products are those of float32 on every backend, see below.
FACTOR = {"cpu": 1, "cuda": 10, "rocm": 10, "tpu": 100}[PLATFORM]


def select() -> None:
  """Sets the variables of the backend."""
  if IS_CPU:  # eight devices, of which most tests use one
    variables = {"JAX_PLATFORMS": "cpu"}
    add_flag("--xla_force_host_platform_device_count=8")
  else:
    variables = {
      "JAX_PLATFORMS": f"{PLATFORM},cpu",
      "JAX_DEFAULT_MATMUL_PRECISION": "highest",  # not TF32 or bfloat16
      "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # programs share the memory
    }
    add_flag("--xla_gpu_deterministic_ops=true")
  os.environ.update(variables)


def add_flag(flag: str) -> None:
  os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".lstrip()


def loosened(function, **defaults):
  """`function` with `FACTOR` on its tolerances.

  Args:
    function: `np.testing.assert_allclose` or `pytest.approx`.
    **defaults: Its tolerances if they are not given.
  """

  @functools.wraps(function)
  def call(*args, **options):
    for name, default in defaults.items():
      given = options.get(name)
      options[name] = FACTOR * (default if given is None else given)
    return function(*args, **options)

  return call


def is_for_cpu(flags: str) -> bool:
  """Whether XLA_FLAGS divide a CPU into devices."""
  return "xla_force_host_platform_device_count" in flags


select()
