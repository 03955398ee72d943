"""A trained model: load it, read images with it, export it."""
