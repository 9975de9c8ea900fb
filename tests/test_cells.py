"""What a sweep is of: the product that a file or flags ask for, and what is refused of them."""

import pytest
import yaml

from bench import cells
from bench.sampling.plan import PRESETS, SamplingPlan
from denoisers.errors import UsageError

FILE = """
protocol: quick
seeds: 0..1
denoisers:
  - gaussian
  - name: kbnet
    weights: [gray25, mnist-all]
    options: {coupling: [vp, naive]}
    seeds: [5, "7,9..10"]
    num: 64
samplers:
  - ddpm
  - {name: dpmpp_2m, steps: 10, grid: karras, rho: 5}
"""


def test_a_file_gives_the_product_of_what_it_lists(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE)
    found = cells.cells(cells.read(path))
    assert len(found) == 2 * 2 + 2 * 2 * 2 * 4
    first = found[0]
    assert (first.denoiser, first.weights, first.options, first.seed) == ("gaussian", None, (), 0)
    assert first.sampling == PRESETS["quick"]
    assert str(first) == "gaussian, 256 x 20 of ddpm on ddpm, seed 0"
    of_kbnet = [cell for cell in found if cell.denoiser == "kbnet"]
    assert {cell.weights for cell in of_kbnet} == {"gray25", "mnist-all"}
    assert {cell.options for cell in of_kbnet} == {(("coupling", "vp"),), (("coupling", "naive"),)}
    assert sorted({cell.seed for cell in of_kbnet}) == [5, 7, 9, 10]
    other = SamplingPlan(64, 10, sampler="dpmpp_2m", grid="karras", rho=5)
    assert {cell.sampling for cell in of_kbnet} == {SamplingPlan(64, 20), other}


def test_what_a_sampler_says_wins_over_a_denoiser_and_that_over_the_top():
    said = {"steps": 4, "num": 40, "samplers": [{"name": "ddim", "steps": 3}, "ddpm"]}
    found = cells.cells(said | {"denoisers": ["ideal", {"name": "unet", "steps": 7}]})
    assert [(cell.denoiser, cell.sampling.steps) for cell in found] == [
        ("ideal", 3),
        ("ideal", 4),
        ("unet", 3),
        ("unet", 7),
    ]
    assert found[0].sampling.eta == 0  # its own, not that of ddpm


def test_a_sampler_may_say_no_name():
    found = cells.cells({"denoisers": ["ideal"], "samplers": [{"steps": 20}, {"steps": 30}]})
    assert [cell.sampling.steps for cell in found] == [20, 30]


def test_runs_that_are_asked_for_twice_count_once():
    found = cells.cells({"denoisers": ["unet", "unet", "ideal"], "seeds": "0..4999"})
    assert len(found) == 10_000
    assert found[-1].denoiser == "ideal"


def test_each_run_once():
    assert len(cells.cells({"denoisers": ["ideal", "ideal"], "seeds": "0..2,1"})) == 3


def test_a_word_of_yaml_is_the_word_of_a_flag():
    (cell,) = cells.cells({"denoisers": [{"name": "x", "options": {"a": True, "b": 0.5, "c": 3}}]})
    assert cell.options == (("a", "true"), ("b", "0.5"), ("c", "3"))
    (cell,) = cells.cells({"denoisers": ["unet"], "sigma-max": "20", "clip": False})
    assert (cell.sampling.sigma_max, cell.sampling.clip) == (20, False)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0..2", [0, 1, 2]), ("4", [4]), (7, [7]), ("0,3", [0, 3]), ([1, "2"], [1, 2])],
)
def test_seeds(text, seeds):
    assert cells.seeds(text) == seeds


WRONG = {
    "names no denoiser": {},
    "the sweep says 'denoiser'; expected denoisers": {"denoiser": "unet"},
    "a denoiser says 'weight'": {"denoisers": [{"name": "unet", "weight": "x"}]},
    "the name of a denoiser: expected a word; found None": {"denoisers": [{"weights": "x"}]},
    "options are ['a']; expected a mapping": {"denoisers": [{"name": "unet", "options": ["a"]}]},
    "denoiser unet: expected a word; found {}": {"denoisers": [{"name": "unet", "weights": [{}]}]},
    "unknown protocol 'long'": {"denoisers": ["unet"], "protocol": "long"},
    "denoiser unet: --num: ": {"denoisers": ["unet"], "num": 2},
    "denoiser unet: --steps: ": {"denoisers": ["unet"], "steps": True},
    "--clip: takes true or false": {"denoisers": ["unet"], "clip": "maybe"},
    "unknown sampler 'euler'": {"denoisers": ["unet"], "samplers": ["euler"]},
    "a sampler says 'seeds'": {"denoisers": ["unet"], "samplers": [{"name": "ddim", "seeds": 1}]},
    "--eta: ": {"denoisers": ["unet"], "samplers": [{"name": "ks", "eta": 1}]},
    "--seed: takes numbers, as 0..2 or 0,3; found '0-2'": {"denoisers": ["unet"], "seeds": "0-2"},
    "--seed: takes numbers, as 0..2 or 0,3; found True": {"denoisers": ["unet"], "seeds": True},
    "--seed: takes numbers, as 0..2 or 0,3; found -1": {"denoisers": ["unet"], "seeds": -1},
    "--seed: takes up to 10000 seeds, rising": {"denoisers": ["unet"], "seeds": "3..1"},
    "--seed: takes a seed at least": {"denoisers": ["unet"], "seeds": []},
    "unknown protocol ['quick']": {"denoisers": ["unet"], "protocol": ["quick"]},
    "--grid: takes a word; found ['ddpm', 'karras']": {
        "denoisers": ["unet"],
        "grid": ["ddpm", "karras"],
    },
    "--num: ": {"denoisers": ["unet"], "num": None},
    "'weights' is said with --weights": {
        "denoisers": [{"name": "unet", "options": {"weights": "x"}}]
    },
    "the option 'coupling' has no value": {
        "denoisers": ["ideal", {"name": "kbnet", "options": {"coupling": None}}]
    },
    "the sweep says one thing twice": {"denoisers": ["unet"], "sigma-max": 3, "sigma_max": 4},
    "asks for more than 10000 runs": {"denoisers": ["unet", "ideal"], "seeds": "0..9999"},
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_is_said(said):
    with pytest.raises(UsageError) as error:
        cells.cells(WRONG[said])
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("denoisers: [unet", "cannot be read as YAML"),
        ("- unet", "is no sweep: expected a mapping"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read as YAML"),
        ("\x00", "cannot be read as YAML"),
        ("a: !!bool x", "cannot be read as YAML"),
        ("a: !!timestamp x", "cannot be read as YAML"),
        ("denoisers: [a]\ndenoisers: [b]", "'denoisers' is said twice, from line 1 on"),
        ("x" * (cells.SIZE + 1), "is no sweep"),
    ],
)
def test_what_is_no_file_of_a_sweep_is_named(tmp_path, text, said):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as error:
        cells.read(path)
    assert str(path) in str(error.value)


def test_a_list_that_holds_itself_ends():
    with pytest.raises(UsageError):
        cells.cells(yaml.safe_load("denoisers: &a [*a]"))


def test_the_example_in_its_description_is_one():
    text = cells.__doc__.partition(":\n\n")[2]
    assert len(cells.cells(yaml.safe_load(text))) == 2 * 3 + 2 * 2 * 2
