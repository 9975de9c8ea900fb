"""What ranks find of rows together is, bit for bit, what one finds alone; and each does a share of it."""

import commands
import numpy as np
import pytest

from bench import crew
from bench.ranks import World

TOGETHER = """
import sys

import numpy as np

from bench import crew, ranks
from bench.data import datasets
from bench.scoring import extractors, memorization, nearest
from bench.scoring.reference import References

nearest.CELLS = 2**17  # blocks of a few queries
dataset = datasets.load("mnist5k")
extractor = extractors.load("lenet-a")
world = ranks.world()
made = []
plain = memorization.nearest_shifted
memorization.nearest_shifted = lambda images, *rest: made.append(len(images)) or plain(images, *rest)
images = dataset.held_out[:37]


def found(references):
    spaces = references.of(extractor).spaces
    features = spaces.embed(dataset.held_out[:350])
    yield features
    yield spaces.embed_training()
    yield spaces.classify(dataset.held_out[:350], 1)
    for space, rows in (("pixels", images.reshape(37, -1)), ("guarded", images), ("features", features)):
        yield from spaces.near(space, rows, 3)
    yield from spaces.near_shifted(images)
    yield spaces.lonely("pixels", np.arange(60).repeat(2))


references = References(dataset)
with ranks.together(world):
    if not world.leads:
        crew.help_(lambda name: references.of(extractor).spaces)
        assert 0 < sum(made) < len(images)
        sys.exit()
    with crew.led(world) as references.crew:
        together = list(found(references))
    assert 0 < sum(made) < len(images)
alone = list(found(References(dataset)))
assert len(together) == len(alone) == 12
for one, other in zip(together, alone, strict=True):
    assert one.dtype == other.dtype
    assert np.array_equal(one, other)
print("the same")
"""


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_find_what_one_finds(count, tmp_path):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    done = commands.by_ranks(count, script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the same\n"


@pytest.mark.parametrize(
    ("rows", "block", "number", "sizes"),
    [(10, 3, 2, [6, 4]), (10, 3, 4, [3, 3, 3, 1]), (3, 3, 2, [0, 3]), (7, 2, 3, [2, 2, 3])],
)
def test_no_block_is_divided(rows, block, number, sizes):
    parts = crew.shares(np.arange(rows), block, number)
    assert [len(part) for part in parts] == sizes
    assert np.array_equal(np.concatenate(parts), np.arange(rows))
    ends = np.cumsum(sizes)[:-1]
    assert (ends % block == 0).all()


def test_one_is_alone():

    with crew.led(World()) as alone:
        assert alone is crew.ALONE
    assert alone.divide(crew.Task("", ""), lambda rows: (2 * rows,), np.arange(3), 1)[0][2] == 4


FAILS = """
import sys
from pathlib import Path

import numpy as np

from bench import crew, ranks

world = ranks.world()


class Owner:
    def share(self, rows):
        if world.rank == int(sys.argv[1]):
            raise MemoryError("too much")
        return (rows,)


owner = Owner()
try:
    with ranks.together(world):
        if not world.leads:
            crew.help_(lambda name: owner)
        else:
            with crew.led(world) as all_of_them:
                all_of_them.divide(crew.Task("", "share"), owner.share, np.arange(9), 1)
except MemoryError:
    pass  # the others must learn of it by themselves
except ChildProcessError as error:
    assert "the same command resumes" in str(error)
    Path(sys.argv[2], str(world.rank)).touch()  # lines of two ranks would run into each other
"""


@pytest.mark.parametrize("who", [0, 2])
def test_one_that_fails_in_its_share_ends_the_others(who, tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(FAILS)
    (knowing := tmp_path / "knowing").mkdir()
    done = commands.by_ranks(3, script, str(who), str(knowing), timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(told.name for told in knowing.iterdir()) == [
        str(rank) for rank in range(3) if rank != who
    ]
