"""What the words of a report mean, in two lines each."""

from bench.report.results import diagnosis

GLOSSARY = {
    "Denoiser, D(x; σ)": "A function that returns the clean image expected under x = x₀ + σε. The sampler asks it at "
    "every noise level, from almost pure noise down to almost none.",
    "Generative prior": "A denoiser whose answers, followed from noise to image, end in new images of the kind it "
    "was trained on: close to held-out digits in distribution, and not copies.",
    "Diagnosis": f"Blank: contrast below {diagnosis.BLANK}. Saturated: over {diagnosis.WHITE:.0%} of the pixels white. "
    f"Residual noise: noise left over {diagnosis.NOISE}. One class: over {diagnosis.ONE_CLASS:.0%} of the images. Not "
    f"digits: KID over {diagnosis.FAR:.0%} of a Gaussian model's. Mixed digits: KID × 10³ surely over "
    f"{1e3 * diagnosis.MIXED_KID:.0f}, or the classifier less sure than of held-out digits. Too few images: the "
    f"interval of KID × 10³ reaches from below {1e3 * diagnosis.MIXED_KID:.0f} to above it.",
    "FID": "Fréchet distance between two Gaussians fitted to features of generated and of training images; 0 is "
    "equal. It falls with the number of images: compare within a table. FID∞ is its limit for many images. The "
    "interval has that bias taken out, and may lie below FID itself.",
    "KID": "Squared kernel distance (MMD) between the same features. It does not depend on the number of images, and "
    "as an unbiased estimate it can be negative. ± is one standard error.",
    "MiFID": "FID, raised where images lie closer to training images than held-out digits do.",
    "Precision, recall": "Share of the images that lie among the training digits, and share of the digits that lie "
    "among the images, by nearest neighbours of features. Density, coverage: the same, less moved by outliers.",
    "Confidence": "Mean probability of the class that a digit classifier predicts. It is no proof of digits: textures "
    "get 0.95 to 1.00. Ambiguous: share of the images that the classifier is unsure of.",
    "Class distance": "Total variation between the predicted classes and equal shares: 0 for equal, 0.9 for one class.",
    "d1, d2, copies": "Distances of an image to its nearest and second nearest training image, over pixels in [0, 1]. "
    "A copy has d1/d2 < 1/3: far nearer to one than to any other. Shifted: over small shifts too.",
    "Memorizing": "Said where the distances to the training set are smaller than those of held-out digits, beyond "
    "their error. No evidence is not a proof of the opposite.",
    "Noise left": "Median standard deviation of white noise in the images, from their finest diagonal details; grey "
    "levels span −1 to 1. Digits have less than 0.01.",
    "Out of band": "Share of the sampler's steps at noise levels that the network was not trained on, where its "
    "answer is extrapolation. The shaded part of a trace is what it was trained on.",
    "Unconverged, late": "Share of the images that a sampler which stops by itself was not done with when its steps "
    "were over: they still hold more noise than it was to leave.",
    "Residual / σ": "RMS of x − D over σ. 1 where the denoiser removes as much as there is noise; below where it "
    "leaves noise in the image, above where it removes image.",
    "NFE": "Number of function evaluations: calls of the denoiser per image.",
    "Controls": "Sets of images with a known answer, scored in the same way: held-out digits are the floor of every "
    "distance, training digits (as they are, noisy, shifted) must look like copies, a Gaussian model like no digits.",
    "Fingerprint": "Eight digits that stand for everything that decides a number besides the denoiser. Tables with "
    "different fingerprints do not compare.",
}
