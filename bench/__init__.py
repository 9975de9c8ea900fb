"""A comparative benchmark of denoisers as generative priors."""

__version__ = "0.1.0"
