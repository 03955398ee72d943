"""A run's folder: session, checkpoints, metrics, trackers and results."""
