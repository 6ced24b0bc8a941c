"""Whether what lies in a slide's folder is what this run would make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tiler.files import inside, own_folder
from tiler.hints import made_of
from tiler.runner.fingerprint import fingerprint, full_hash
from tiler.runner.job import SlideJob, SlideRow
from tiler.runner.record import NAME, OUTPUT_VERSION, Record, damage, differences, load_record
from tiler.stored import StoredError


@dataclass(frozen=True)
class Found:
    """What a slide's folder turned out to be.

    Attributes
    ----------
    row
        The slide's row, if its folder can be taken as it is.
    why_not
        Otherwise why it has to be redone; empty when there is no folder.
    settings_changed
        Whether that is because of other settings.
    """

    row: SlideRow | None = None
    why_not: str = ""
    settings_changed: bool = False


def find_done(job: SlideJob, out: Path, verify: str) -> Found:
    """Compare a slide's folder with its record, its input and the settings of now.

    Parameters
    ----------
    job
        What would be done.
    out
        The run's folder.
    verify
        ``size`` compares the size of every file, ``hash`` its content too, ``none`` neither.
    """
    folder = own_folder(inside(out / "slides", job.slide_id))
    if not folder.is_dir():
        return Found()
    try:
        record = load_record(folder)
    except FileNotFoundError:
        return Found(why_not=f"its {NAME} is missing")
    except StoredError as error:
        return Found(why_not=f"its {NAME} {error}")
    if record.slide_id != job.slide_id:
        return Found(why_not=f"its {NAME} is of another slide")
    if record.output_version != OUTPUT_VERSION:
        return Found(why_not="it was made by a version of tiler that made other output")
    changed = list(differences(record.settings, job.settings))
    if changed:
        return Found(why_not="; ".join(changed), settings_changed=True)
    damaged = _input_changes(job, record) or (
        next(damage(folder, record, verify), "") if verify != "none" else ""
    )
    if damaged:
        return Found(why_not=damaged)
    if record.row["status"] == "failed":
        return Found(why_not="it had tiles that could not be read")
    return Found(row=replace(made_of(SlideRow, record.row), path=job.given))


def _input_changes(job: SlideJob, record: Record) -> str:
    try:
        if fingerprint(job.path) != record.source:
            return "the slide's fingerprint differs: it was replaced or touched"
        if job.input_hashes() != record.inputs:
            return "its mask file differs"
        if job.expected_sha256 and full_hash(job.path) != job.expected_sha256.lower():
            return "the slide's sha256 is not the expected one"
    except OSError as error:
        return f"the slide cannot be looked at: {error}"
    except Exception as error:  # of a mask of the user's own: doing the slide tells its line
        return f"its mask cannot list its files: {error!r}"
    return ""
