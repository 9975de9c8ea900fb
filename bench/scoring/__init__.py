"""Scoring: from images to numbers, each beside its control."""
