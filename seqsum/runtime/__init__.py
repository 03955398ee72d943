"""Processes, devices, files, signals, errors and the commands' shared flags."""
