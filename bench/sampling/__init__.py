"""Sampling: from a plan and a denoiser to images."""
