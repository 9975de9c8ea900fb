"""The word for what is scored: digits where the dataset is of digits, images everywhere else."""

import re

WORDS = {"digits": "images", "Digits": "Images", "digit": "image", "a digit": "an image"}


def of_digits(dataset: str) -> bool:
    """Whether a dataset, name or name@digest, is of digits; so is one that is not known."""
    return dataset.partition("@")[0] in ("", "?", "mnist", "mnist5k")


def said(text: str, dataset: str) -> str:
    """A text that speaks of digits, as it is to be read about this dataset."""
    if of_digits(dataset):
        return text
    return re.sub(r"\b(a digit|digits?|Digits)\b", lambda match: WORDS[match[1]], text)
