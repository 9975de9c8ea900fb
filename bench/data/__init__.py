"""Data: datasets, photographs, and images that were made elsewhere."""
