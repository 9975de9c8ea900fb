"""Probes: a denoiser asked directly, without sampling."""
