"""Batches drawn on the device from a key; tasks; augmentation."""
