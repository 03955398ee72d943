"""The pure step, losses, optimizers, metrics and evaluation."""
