"""Natural sort order of file names."""

import random

import pytest

from seqsum.runtime import natural_order


@pytest.mark.parametrize(
  "names",
  [
    "1.png 2.png 10.png",
    "t0 t0.25 t0.5 t0.75 t1 t2 t10",
    "t0.png t0.25.png t0.5.png t0.75.png t1.png t2.png t10.png",
    "t0.0 t0.05 t0.1 t0.5 t1.0 t1.25 t10.0",
    "t=-1.5 t=-1 t=-0.25 t=0 t=0.5 t=2",
    "-10.png -9.png -1.png 0.png 1.png",
    "x_-2_a x_-1_b x_0_a",
    "(-2) (-1) (1)",
    "frame_1-2 frame_1-10 frame_2-1",  # hyphens, not minus signs
    "2024-01-15 2024-02-01 2024-10-03",
    "2024.1.15 2024.2.1 2024.10.3",
    "v1.2.3 v1.2.10 v1.10.1",
    "1.1 1.2 1.9 1.10 1.11 2.1 2.10",  # names that count up
    "scene1.8.jpg scene1.9.jpg scene1.10.jpg",
    "1.99 1.100 1.101 2.7",
    "a1.9_0.25 a1.10_0.5",
    "0001.png 0002.png 0010.png",
    "07.png 8.png 09.png 10.png",
    "01.png 1.png 02.png 2.png",
    "1.jpg 1.png 2.jpg",
    "a1 B2 a3 B4".replace("a3 B4", "c3"),
    "img.png img1.png img2.png",
    "img_.png img_1.png",
    "a/2.png a/10.png a-b/1.png b/1.png",
    "s2/1.png s10/1.png",
    "s1.9/t0.25 s1.9/t0.5 s1.10/t0.25 s1.10/t0.5",
    "18446744073709551617.png 18446744073709551618.png",
    "t0.10000000000000000001 t0.10000000000000000002",
    "²2 ²10",  # a digit that is no decimal digit
    "\u0663.png \u0664.png \u0661\u0660.png",
  ],
)
def test_names_in_natural_order(names):
  expected = names.split()
  for seed in range(5):
    shuffled = random.Random(seed).sample(expected, len(expected))
    assert natural_order.sort(shuffled) == expected


def test_a_copy_comes_after_its_original():
  names = ["img.png", "img (1).png", "img (2).png", "img (10).png"]
  assert natural_order.sort(names[::-1]) == names


def test_random_names_are_sorted_consistently():
  letters = "a1.-_=(/ \u00b2\u0663"
  rng = random.Random(0)
  names = [
    "".join(rng.choices(letters, k=rng.randint(0, 9))) for _ in range(999)
  ]
  found = natural_order.sort(names)
  assert sorted(found) == sorted(names)
  assert natural_order.sort(reversed(found)) == found
