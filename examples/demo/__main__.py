"""`make demo`: sets up a federation, shows the steps, and cleans up.

Exit status: 0 when every step went as expected, 1 when one did not, 130 on Ctrl-C.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.text import Text

from examples.demo.attack import Attacks
from examples.demo.federation import PIDS, Federation
from examples.demo.invitation import invitation
from examples.demo.levels import Levels
from examples.demo.process import STOP_SECONDS, CommandError
from examples.demo.report import Report
from examples.demo.story import Story
from examples.holders import COUNT


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop_kept(folder: Path, console: Console, *, patience_seconds: float = STOP_SECONDS) -> int:
    """Stops a federation that `--keep` left running in `folder`, and removes the folder."""
    listing = folder / PIDS
    if not listing.is_file():
        console.print(f"[red]{folder} holds no federation: there is no file {listing.name} in it[/]")
        return 2
    running = dict(line.split(maxsplit=1) for line in listing.read_text().splitlines())
    for pid in running:
        with suppress(ProcessLookupError):
            os.killpg(int(pid), signal.SIGTERM)
    give_up = time.monotonic() + patience_seconds
    while any(_is_running(int(pid)) for pid in running) and time.monotonic() < give_up:
        time.sleep(0.1)
    console.print(f"stopped {', '.join(running.values())}")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def tell(federation: Federation, report: Report, story: Story) -> None:
    """Runs `make demo` from empty folders to the last step."""
    report.opening()
    with report.working(
        "A root ceremony, four participants' keys and joins, two operators' approval, six processes:"
    ) as say:
        federation.set_up(say)
    story.main_road()
    Attacks(story).all_refused()
    story.rotation()
    Levels(story).all_told()
    report.closing()


def run_demo(folder: Path, json_file: Path | None, console: Console, *, holders: int, keep: bool) -> int:
    """Runs the steps in `folder` and always stops everything. Returns the exit status."""
    federation = Federation(folder)
    report = Report(console)
    story = Story(federation, report, holders)
    status = 1
    try:
        tell(federation, report, story)
        status = 0 if report.all_as_expected else 1
    except CommandError as error:
        console.print("[bold red]The federation could not be set up.[/]")
        console.print(Text(str(error)), soft_wrap=True)
    except KeyboardInterrupt:
        console.print("\n[yellow]Interrupted; stopping everything.[/]")
        status, keep = 130, False
    finally:
        # a second Ctrl-C must not cut the stopping short
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if json_file is not None:
            report.write_json(json_file, federation.processes)
        if keep and federation.complete:
            invitation(federation, story.codes[0] if story.codes else "CNHT1:…", console)
        else:
            federation.stop_all()
            if status == 1:
                console.print(f"Nothing is left running; folders and logs are in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    return status


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave the federation up, and print how to call it.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the steps here, too."
)
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Work here; must not exist yet."
)
@click.option(
    "--stop",
    type=click.Path(path_type=Path, file_okay=False),
    help="Stop the federation kept in this folder.",
)
@click.option(
    "--holders",
    type=click.IntRange(20, COUNT),
    default=COUNT,
    show_default=True,
    help="How many people to issue codes to; a holder's first code of a day costs a core 36 ms.",
)
def main(keep: bool, json_file: Path | None, folder: Path | None, stop: Path | None, holders: int) -> None:
    """A whole federation on this machine, told in numbered steps."""
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
    if stop is not None:
        sys.exit(stop_kept(stop, console))
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="healthcode-demo-"))
    elif folder.exists():
        raise click.UsageError(f"{folder} exists already: name a folder that does not")
    else:
        folder.mkdir(parents=True, mode=0o700)
    sys.exit(run_demo(folder, json_file, console, holders=holders, keep=keep))


if __name__ == "__main__":
    main()
