"""What the crossed experiment says: the verdict, the table of eight cells and both floors, the picture."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from bench import sheets
from bench.reporting.page.blocks import Block, Page, Picture, Span, spans
from bench.runs import Run
from bench.scoring.compare import Scored
from bench.studies import crossing, series
from bench.studies.crossing import KINDS, NETWORKS, PLACES, Effects, Place
from bench.studies.series import Cell, interval

SHOWN = 16  # images of each cell in the picture
ROWS = 2  # in which they are drawn
SIDE = 32  # pixels of a place for an image; digits stand in the middle of it
MARGIN, HEAD, LINE = 24, 34, 26
NAME_OF = "cross"
TITLE = "Prior or architecture? Two networks, two kinds of training, each asked for both"


def write(study: Run, found: Mapping[Place, Cell]) -> None:
    """cross.csv, cross.md, cross.png, the page."""
    scored = {place: cell.scored for place, cell in found.items()}
    frame = table(scored)
    effects = {asked: crossing.effects(scored, asked) for asked in KINDS}
    wins = {asked: crossing.better(scored, asked) for asked in KINDS}
    drawn = picture({place: cell.images for place, cell in found.items()}, scored)
    study.write(f"{NAME_OF}.png", lambda file: drawn.save(file, format="PNG"))
    series.publish(study, NAME_OF, frame, [], page(frame, effects, wins))
    study.write_json("verdict-cross.json", summary(effects, wins))


def table(found: Mapping[Place, Scored]) -> pd.DataFrame:
    """One row for each cell, and one for the floor of each kind of images asked for."""
    rows = []
    for asked in KINDS:
        for place in (place for place in PLACES if place.asked == asked):
            rows.append(place._asdict() | series.numbers(found[place]))
        first = next(found[place] for place in PLACES if place.asked == asked)
        kid, fid = (series.floor(first, key) for key in ("kid", "fid"))
        count = first.held_out.scores["kid"].n
        rows.append(
            {"network": "held-out", "learnt": "", "asked": asked, "n": count}
            | {"kid": kid.value, "kid_low": kid.ci95[0], "kid_high": kid.ci95[1]}
            | {"fid": fid.value, "fid_low": fid.ci95[0], "fid_high": fid.ci95[1]}
        )
    return pd.DataFrame(rows)


def summary(
    effects: Mapping[str, Effects], wins: Mapping[str, Mapping[tuple[str, str], str]]
) -> dict[str, object]:
    """The verdict as JSON."""
    return {
        "verdict": crossing.verdict(effects, wins),
        "sentences": [crossing.sentence(effects[asked], asked) for asked in KINDS],
        "effects": {
            asked: {name: effect._asdict() for name, effect in parts._asdict().items()}
            for asked, parts in effects.items()
        },
        "better": {
            asked: [{"pair": list(pair), "better": won} for pair, won in pairs.items()]
            for asked, pairs in wins.items()
        },
    }


def page(
    frame: pd.DataFrame,
    effects: Mapping[str, Effects],
    wins: Mapping[str, Mapping[tuple[str, str], str]],
) -> Page:
    """What the study says, with its rules."""
    heading = ["asked for", "network", "learnt", "KID x 1e3", "FID", "N"]
    rows = [
        [
            row["asked"],
            row["network"],
            row["learnt"],
            interval(row, "kid", 1, 1e3),
            interval(row, "fid", 2),
            str(int(row["n"])),
        ]
        for _, row in frame.iterrows()
    ]
    rules = (
        "KID is measured in the features of each kind of images, and never below what as many "
        "held-out ones have by chance. An effect is a factor on it: half the sum of two differences "
        "of its logarithm. Shares are those of the squares of the three effects. Intervals are those "
        "of 95 % of the bootstrap, too narrow at the floor; a share of nothing is a little above 0. "
        "Surely: p below 5 %, corrected for the six pairs of a kind, and a difference larger than two "
        "honest sets have."
    )
    said = [spans(crossing.sentence(effects[asked], asked)) for asked in KINDS]
    alt = (
        "Samples of U-Net and KBNet, trained on digits (left) and on natural patches (right), "
        "asked for digits (above) and for patches (below)"
    )
    return Page(
        TITLE,
        [
            Block("text", spans(Span(crossing.verdict(effects, wins), strong=True))),
            Block("picture", Picture(f"{NAME_OF}.png", alt)),
            Block("list", said),
            Block("table", [heading, *rows]),
            Block("text", spans(rules)),
        ],
    )


def picture(images: Mapping[Place, np.ndarray], found: Mapping[Place, Scored]) -> Image.Image:
    """Two columns, of what was learnt, and two rows, of what was asked for; in each the samples of both networks."""
    step = SIDE * sheets.SCALE + sheets.GAP
    across = SHOWN // ROWS
    wide, high = across * step, len(NETWORKS) * (ROWS * step + LINE)
    size = (3 * MARGIN + 2 * wide, 3 * MARGIN + 2 * (high + HEAD))
    sheet = sheets.blank(size, colour=False)
    draw = ImageDraw.Draw(sheet)
    for column, learnt in enumerate(KINDS):
        for row, asked in enumerate(KINDS):
            left = MARGIN + column * (wide + MARGIN)
            top = MARGIN + row * (high + HEAD + MARGIN)
            matching = "" if learnt == asked else "  (not what they learnt)"
            draw.text(
                (left, top), f"trained on {learnt}, asked for {asked}{matching}", 255, font_size=20
            )
            for line, network in enumerate(NETWORKS):
                place = Place(network, learnt, asked)
                below = top + HEAD + line * (ROWS * step + LINE)
                kid = 1e3 * found[place].values["kid"]
                said = f"{kid:.1f}" if abs(kid) < 100 else f"{kid:,.0f}".replace(",", " ")
                draw.text((left, below), f"{network}: KID x 1e3 = {said}", 255, font_size=16)
                for index, image in enumerate(images[place][:SHOWN]):
                    corner = left + index % across * step, below + LINE + index // across * step
                    sheet.paste(sheets.enlarged(framed(image)), corner)
    return sheet


def framed(image: np.ndarray) -> np.ndarray:
    """An image uint8 (H, W) in the middle of a place, on the ground of the sheet."""
    rows, columns = (SIDE - side for side in image.shape)
    sides = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(image, sides, constant_values=sheets.BACKGROUND)
