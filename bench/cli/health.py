"""The command that looks at the installation itself."""

import json

import typer

from bench.cli.app import say, terminal
from bench.cli.flags import DataDir, Json


def doctor(data_dir: DataDir = None, json_: Json = False) -> None:
    """Say what is installed, which devices and data there are, and the command that brings what is missing.

    The exit status is 1 where something cannot work as it is.
    """
    from bench import doctor as examination

    lines = examination.examine(data_dir)
    if json_:
        terminal.result(json.dumps([line._asdict() for line in lines], indent=2))
    else:
        width = max(len(line.what) for line in lines)
        topic = None
        for line in lines:
            if line.topic != topic:
                terminal.result(line.topic)
                topic = line.topic
            terminal.row(f"{'!' if line.fault else ' '} {line.what:{width}}", line.found)
            if line.remedy:
                terminal.row(f"  {'':{width}}", f"-> {line.remedy}")
    faults = sum(line.fault for line in lines)
    say(f"{faults} faults" if faults != 1 else "1 fault")
    if faults:
        raise typer.Exit(1)
