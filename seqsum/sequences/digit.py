"""Shape and classes of the images of MNIST and of data sets in its format."""

SHAPE = (28, 28, 1)  # H, W, C
CLASSES = 10
