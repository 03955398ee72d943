"""Importance of video frames, judged against annotators."""
