"""What is wrong with a set of images, in words that hold the measured values that say so."""

import math
from collections.abc import Callable
from typing import NamedTuple

from bench.reporting import words
from bench.reporting.results.entries import Entry
from bench.reporting.results.pictures import Look
from bench.scoring.schema import Score, ScoreSet

# Limits, between what the runs of this repository that work and those that fail have: digits have a
# contrast of 0.30, 0.06 of their pixels white, noise below 0.01, a largest class of 0.11 to 0.14.
BLANK = 0.05  # contrast
WHITE = 0.25  # share of full white pixels
NOISE = 0.1  # std of white noise left, images in [-1, 1]
ONE_CLASS = 0.9  # share of the largest class
COPIES = 0.05  # share of copies, beyond the held-out digits' own
DIGITS = 0.5  # precision
FAR = 0.4  # KID, as a share of the Gaussian model's; a VAE has 0.2, faint strokes 0.6
FAR_KID = 0.3  # KID, where no such control was measured
MIXED_KID = 0.05
# The same in features of other scales, as a share of the Gaussian model's KID, which for digits is 1.5.
MIXED_SHARE = 1 / 30
MIXED = 0.05  # mean confidence below the held-out digits'
AMBIGUOUS = 0.1  # share of ambiguous images beyond the held-out digits'

GENERATES, MEMORIZES, FAILS, UNTOLD = (
    "generates",
    "memorizes",
    "does not generate",
    "cannot be told",
)
# What a diagnosis is called where the images are not of digits.
OF_IMAGES = {
    "not digits": "unlike the data",
    "given digits": "given images",
    "mixed digits": "mixed images",
}
VERDICTS = {
    "fine": GENERATES,
    "mixed digits": GENERATES,
    "mixed images": GENERATES,
    "copies": MEMORIZES,
    "too few images": UNTOLD,
}


class Finding(NamedTuple):
    """A diagnosis and the measurement that led to it."""

    kind: str
    because: str

    @property
    def verdict(self) -> str:
        """Whether images of this kind come from a generative prior."""
        return VERDICTS.get(self.kind, FAILS)


Check = Callable[[Entry, Look | None], str | None]


def diagnose(entry: Entry, look: Look | None) -> list[Finding]:
    """Everything that applies to a set of images, the gravest first; `fine` where nothing does."""
    findings = [
        Finding(kind, found)
        for kind, check in CHECKS.items()
        if (words.of_digits(entry.dataset) or kind not in OF_DIGITS)
        and (found := check(entry, look))
    ]
    weaker = ()
    # What is no digit is no malformed digit either.
    if any(finding.verdict == FAILS for finding in findings):
        weaker = ("too few images", "mixed digits")
    elif any(finding.verdict == UNTOLD for finding in findings):
        weaker = ("mixed digits",)
    findings = [finding for finding in findings if finding.kind not in weaker]
    return [reworded(finding, entry) for finding in findings or [Finding("fine", fine(entry))]]


def reworded(finding: Finding, entry: Entry) -> Finding:
    """A finding in the words of what the images are of."""
    if words.of_digits(entry.dataset):
        return finding
    kind = OF_IMAGES.get(finding.kind, finding.kind)
    return Finding(kind, words.said(finding.because, entry.dataset))


def blank(entry: Entry, look: Look | None) -> str | None:
    """Nothing is on the images."""
    if look is None or look.contrast >= BLANK:
        return None
    found = f"the pixels of an image have a standard deviation of {look.contrast:.3f}"
    return f"{found}, those of a digit 0.30" if words.of_digits(entry.dataset) else found


def saturated(entry: Entry, look: Look | None) -> str | None:
    """Values ran out of range."""
    if look is None or look.white <= WHITE:
        return None
    return f"{look.white:.0%} of the pixels are full white, 6% of those of digits"


def noisy(entry: Entry, look: Look | None) -> str | None:
    """White noise, or texture as fine as noise, is left."""
    left, usual = entry.score("noise_std"), control(entry, "noise_std")
    if left is None or left.value <= NOISE + (usual.value if usual else 0):
        return None
    return (
        f"noise, or texture as fine as noise, of std {left.value:.3f} is left, "
        "of grey levels from -1 to 1"
    )


def copies(entry: Entry, look: Look | None) -> str | None:
    """The training set comes back."""
    if entry.verdict.get("memorization") == "memorizing":
        return entry.verdict.get("because") or "the memorization scores say so"
    for kind, names in entry.measured.memorization.items():
        rate, usual = (
            names.get("copy_rate"),
            held_out(entry).memorization.get(kind, {}).get("copy_rate"),
        )
        if rate is not None and rate.value > COPIES + (usual.value if usual else 0):
            beside = f", {usual.value:.1%} of held-out digits" if usual else ""
            return (
                f"{rate.value:.1%} of the images are copies of a training image by {kind}{beside}"
            )
    return None


def one_class(entry: Entry, look: Look | None) -> str | None:
    """All images are digits of one class; the classifier may take textures for one, too."""
    histogram, precision = entry.measured.histogram, entry.score("precision")
    if precision is not None and precision.value < DIGITS:
        return None
    total, largest = sum(histogram), max(histogram, default=0)
    if not total or largest / total <= ONE_CLASS:
        return None
    what = "digit" if words.of_digits(entry.dataset) else "class"
    return (
        f"{largest / total:.0%} of the images are taken for the {what} {histogram.index(largest)}"
    )


def far(entry: Entry, look: Look | None) -> str | None:
    """The images are something else than digits."""
    kid, (limit, named) = entry.score("kid"), far_limit(entry)
    if kid is None or kid.value <= limit:
        return None
    floor = thousandfold(control(entry, "kid"))
    return f"KID × 10³ is {1e3 * kid.value:.0f}, over {named}; held-out digits have {floor}"


def far_limit(entry: Entry) -> tuple[float, str]:
    """The KID beyond which images are no digits, and that limit in words."""
    model = control(entry, "kid", of="gaussian")
    # Of the simplest images a Gaussian model is as good as they are, and says nothing.
    if model is None or model.value <= 1.96 * (model.stderr or 0):
        return FAR_KID, f"{1e3 * FAR_KID:.0f}"
    limit = FAR * model.value
    return limit, f"{1e3 * limit:.0f}, {FAR:.0%} of what a Gaussian model of the digits has"


def mixed_limit(entry: Entry) -> float:
    """The KID beyond which there are malformed ones among the images."""
    model = control(entry, "kid", of="gaussian")
    if model is None or words.of_digits(entry.dataset):
        return MIXED_KID
    return max(MIXED_KID, MIXED_SHARE * model.value)


def given(entry: Entry, look: Look | None) -> str | None:
    """Digits went in, so that digits come out proves nothing."""
    sampler = entry.facts.get("sampler") or {}
    if sampler.get("start") != "held-out":
        return None
    level = sampler.get("sigma_max", math.nan)
    return f"each image began as a held-out digit under noise of sigma {level:.3g}"


def too_few(entry: Entry, look: Look | None) -> str | None:
    """The interval of KID holds values of digits, and of images that are none or malformed."""
    kid, usual = entry.score("kid"), control(entry, "kid")
    if kid is None or kid.stderr is None:
        return None
    low, high = (kid.value + sign * 1.96 * kid.stderr for sign in (-1, 1))
    limit = mixed_limit(entry)
    if low > limit or high <= limit:
        return None
    many = f"{kid.n} images" if kid.n else "these images"
    return (
        f"of {many} KID × 10³ is {thousandfold(kid)}, "
        f"that of held-out digits {thousandfold(usual)}: "
        "it may be that of digits, or of malformed ones; make more"
    )


def mixed(entry: Entry, look: Look | None) -> str | None:
    """Digits, but malformed ones among them."""
    kid = entry.score("kid")
    limit = mixed_limit(entry)
    if kid is not None and kid.value - 1.96 * (kid.stderr or 0) > limit:
        usual, (_, named) = control(entry, "kid"), far_limit(entry)
        beyond = "no digits" if words.of_digits(entry.dataset) else "unlike the data"
        return (
            f"KID × 10³ is {thousandfold(kid)}, surely over {1e3 * limit:.3g}; "
            f"{beyond} are those over {named}; "
            f"held-out digits have {thousandfold(usual)}"
        )
    share, usual = entry.score("ambiguous"), control(entry, "ambiguous")
    if share and usual:
        if share.value <= usual.value + AMBIGUOUS:
            return None
        return (
            f"{share.value:.0%} of the images are ambiguous to the classifier, "
            f"{usual.value:.0%} of held-out digits"
        )
    sure, usual = entry.score("confidence"), control(entry, "confidence")
    if sure is None or usual is None or sure.value >= usual.value - MIXED:
        return None
    return (
        f"the classifier's mean confidence is {sure.value:.3f}, "
        f"{usual.value:.3f} on held-out digits"
    )


def fine(entry: Entry) -> str:
    """What speaks for the images."""
    kid = entry.score("kid")
    if kid is None:
        return "no check found anything"
    usual = thousandfold(control(entry, "kid"))
    return f"KID × 10³ is {thousandfold(kid)}, that of held-out digits {usual}"


CHECKS: dict[str, Check] = {
    "blank": blank,
    "saturated": saturated,
    "residual noise": noisy,
    "copies": copies,
    "one class": one_class,
    "not digits": far,
    "given digits": given,
    "too few images": too_few,
    "mixed digits": mixed,
}


# What white on black is: of other images nothing is usual.
OF_DIGITS = ("saturated",)


def in_words(entry: Entry, findings: list[Finding]) -> str:
    """The verdict on an entry as one sentence, with what led to it first."""
    first = findings[0]
    what = (
        first.verdict
        if first.kind == "fine" or first.verdict == MEMORIZES
        else f"{first.verdict} ({first.kind})"
    )
    return f"{entry.name} {what}: {first.because.partition('; ')[0]}."


def held_out(entry: Entry) -> ScoreSet:
    """The control that is always there, or one without numbers."""
    return entry.controls.get("held_out") or ScoreSet({}, {}, [])


def control(entry: Entry, name: str, of: str = "held_out") -> Score | None:
    """A score of a control, or None where there is none."""
    measured = entry.controls.get(of)
    return measured.scores.get(name) if measured else None


def thousandfold(number: Score | None) -> str:
    """A KID as tables print it."""
    if number is None:
        return "unknown"
    return f"{1e3 * number.value:z.1f}" + (
        f" ± {1e3 * number.stderr:.1f}" if number.stderr is not None else ""
    )


def outside(entry: Entry) -> str:
    """What the network was asked that it had not learnt; empty if nothing."""
    share, band = entry.facts.get("out_of_band"), entry.band()
    if not share or band is None:
        return ""
    levels = f"sigma {band[0]:.3g} to {band[1]:.3g}"
    return (
        f"{share:.0%} of the steps lie outside the noise levels that it was trained on ({levels})"
    )
