"""What the words of a report mean, in two lines each."""

from bench.reporting.results import diagnosis
from bench.scoring.catalogue import MEMORIZATION, SCORES

GLOSSARY = {
    "Denoiser, D(x; σ)": "A function that returns the clean image expected under x = x₀ + σε. The sampler asks it at "
    "every noise level, from almost pure noise down to almost none.",
    "Generative prior": "A denoiser whose answers, followed from noise to image, end in new images of the kind it "
    "was trained on: close to held-out digits in distribution, and not copies.",
    "Diagnosis": f"Blank: contrast below {diagnosis.BLANK}. Saturated: over {diagnosis.WHITE:.0%} of the pixels white. "
    f"Residual noise: noise left over {diagnosis.NOISE}. One class: over {diagnosis.ONE_CLASS:.0%} of the images. Not "
    f"digits: KID over {diagnosis.FAR:.0%} of a Gaussian model's. Mixed digits: KID × 10³ surely over "
    f"{1e3 * diagnosis.MIXED_KID:.0f}, or the classifier less sure than of held-out digits. Too few images: the "
    f"interval of KID × 10³ reaches from below {1e3 * diagnosis.MIXED_KID:.0f} to above it. Of images that are no "
    f"digits: unlike the data, mixed images; there the limit is {diagnosis.MIXED_SHARE:.1%} of the Gaussian model's "
    f"KID, and {1e3 * diagnosis.MIXED_KID:.0f} at least.",
    **{spec.title: spec.help for spec in SCORES if spec.card},
    **{spec.title: spec.help for spec in MEMORIZATION if spec.card},
    "Memorizing": "Said where the distances to the training set are smaller than those of held-out digits, beyond "
    "their error. No evidence is not a proof of the opposite.",
    "Out of band": "Share of the sampler's steps at noise levels that the network was not trained on, where its "
    "answer is extrapolation. The shaded part of a trace is what it was trained on.",
    "Unconverged, late": "Share of the images that a sampler which stops by itself was not done with when its steps "
    "were over: they still hold more noise than it was to leave.",
    "Residual / σ": "RMS of x − D over σ. 1 where the denoiser removes as much as there is noise; below where it "
    "leaves noise in the image, above where it removes image.",
    "NFE": "Number of function evaluations: calls of the denoiser per image.",
    "Where": "The noise levels at which `bench study band` found that a denoiser stops being a prior, beside one that "
    "generates; a share is what a band of levels carries of the excess of KID.",
    "Bits / pixel": "Code length of held-out digits under the denoiser: half the integral of its squared error over "
    "1/σ² (I-MMSE), in bits. Lower is better.",
    "Controls": "Sets of images with a known answer, scored in the same way: held-out digits are the floor of every "
    "distance, training digits (as they are, noisy, shifted) must look like copies, a Gaussian model like no digits.",
    "Fingerprint": "Eight digits that stand for everything that decides a number besides the denoiser. Tables with "
    "different fingerprints do not compare.",
}
