"""The images of MNIST, and of the data sets that have its format."""

SHAPE = (28, 28, 1)  # H, W, C
CLASSES = 10
