"""Flax modules and the cells that they scan; no config is read here."""
