"""Files below a folder: a person's, each once, wherever links lead."""

import json

import pytest

from bench import folders, reporting, runs
from bench.reporting.figures import pages
from bench.reporting.page import blocks, studies
from bench.scoring import selection
from denoisers.errors import UsageError


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def found(folder):
    return [path.relative_to(folder).as_posix() for path in folders.files(folder)]


def test_what_machines_leave_is_left_out(tmp_path):
    fill(tmp_path, "a.png", "b/c.png", "B/Thumbs.png")
    fill(
        tmp_path,
        ".ipynb_checkpoints/a.png",
        "b/.ipynb_checkpoints/c.png",
        "__MACOSX/a.png",
        "__MACOSX/b/._c.png",
    )
    fill(
        tmp_path,
        "._a.png",
        ".DS_Store",
        "b/Thumbs.db",
        "b/thumbs.db",
        "desktop.ini",
        "b/@eaDir/c.png",
        ".git/x",
    )
    assert found(tmp_path) == ["B/Thumbs.png", "a.png", "b/c.png"]


def test_a_hidden_folder_that_is_named_is_read(tmp_path):
    fill(tmp_path / ".cache" / "x", "a.png", ".b.png")
    assert found(tmp_path / ".cache" / "x") == ["a.png"]


def test_links_to_folders_are_followed_once(tmp_path):
    fill(tmp_path / "elsewhere", "run/a", "b")
    fill(tmp_path / "here", "own/c")
    for link, place in {
        "one": "../elsewhere",
        "two": "../elsewhere",
        "an": "own",
        "z": "one/run",
    }.items():
        (tmp_path / "here" / link).symlink_to(place)
    # Own under its own name, not under `an`.
    assert found(tmp_path / "here") == ["one/b", "one/run/a", "own/c"]
    (tmp_path / "link").symlink_to("here")
    assert found(tmp_path / "link") == found(tmp_path / "here")


def test_links_in_a_circle_end(tmp_path):
    fill(tmp_path / "root" / "here", "a", "b/c")
    fill(tmp_path / "root", "beside")
    for link in ("itself", "b/itself", "up"):
        (tmp_path / "root" / "here" / link).symlink_to(
            tmp_path / ("root" if link == "up" else "root/here")
        )
    (tmp_path / "root" / "here" / "circle").symlink_to("circle")
    (tmp_path / "root" / "here" / "all").symlink_to("/")
    assert found(tmp_path / "root" / "here") == ["a", "b/c", "circle"]


def test_a_folder_that_cannot_be_read(tmp_path, unreadable):
    fill(tmp_path, "a", "closed/b")
    unreadable("closed")
    assert found(tmp_path) == ["a"]
    with pytest.raises(UsageError, match="closed cannot be read: Permission denied"):
        folders.files(tmp_path, strict=True)


def test_a_report_shows_a_linked_run_once_and_ends(make_run, bench, tmp_path):
    for name in ("unet", "kbnet"):
        run = make_run(name)
    other = tmp_path / "other"
    (tmp_path / "results" / "kbnet").rename(other)
    assert run.path.parent == tmp_path / "results" / "kbnet"
    for link, place in {"linked": other, "again": other, "loop": tmp_path / "results"}.items():
        (tmp_path / "results" / link).symlink_to(place)
    hidden = tmp_path / "results" / ".ipynb_checkpoints"
    (tmp_path / "results" / "unet").rename(hidden)
    entries, absent = reporting.collect(tmp_path / "results")
    assert [entry.where for entry in entries] == ["again/run"]
    assert absent == []
    status, out, _ = bench("report", tmp_path / "results")
    assert status == 0
    assert "kbnet card" in out
    assert "No finished runs" not in (tmp_path / "results" / "report.md").read_text()


def test_a_study_and_its_runs_are_found_through_a_link(make_run, tmp_path):
    make_run("ladder/runs/unet")
    (tmp_path / "results" / "ladder").rename(tmp_path / "ladder")
    (tmp_path / "results" / "ladder").symlink_to(tmp_path / "ladder")
    (tmp_path / "ladder" / "study.json").write_text("{}")
    page = blocks.to_json(blocks.Page("The ladder", []))
    (tmp_path / "ladder" / "page.json").write_text(json.dumps(page))
    assert reporting.collect(tmp_path / "results") == ([], [])
    (study,), missing = studies.read(tmp_path / "results", pages.inlined)
    assert (study.name, missing) == ("The ladder", [])


def test_seeds_that_are_compared_are_counted_once(make_run):
    run = make_run("unet")
    for link, place in {"again": run.path, ".hidden": run.path, "loop": run.path.parent}.items():
        (run.path.parent / link).symlink_to(place)
    assert selection.direct(run.path.parent, runs.find(run.path.parent)) == [run]
