"""Log lines and events about the plan of one slide."""

from __future__ import annotations

import logging

from tiler.runner.reporting.events import Events
from tiler.runner.work.job import SlideJob
from tiler.runner.work.plan import SlidePlan, mask_doubt

log = logging.getLogger("tiler")


def log_plan(events: Events, job: SlideJob, plan: SlidePlan) -> None:
    """Log what users should know about a slide before its tiles are written."""
    slide_id = job.slide_id
    for note in plan.shared.notes:
        log.warning("slide=%s %s", slide_id, note)
        events.add("cache", slide=slide_id, note=note)
    if notes := plan.row.notes:
        doubtful = "levels" in plan.shared.known.facts.provenance or plan.fits.raw
        log.log(logging.WARNING if doubtful else logging.INFO, "slide=%s %s", slide_id, notes)
        events.add("image", slide=slide_id, note=notes)
    for tile in plan.unreadable:
        events.add("bad_tile", slide=slide_id, x=tile.x, y=tile.y, cause=tile.cause)
    if raw := plan.fits.raw:
        events.add("transform", slide=slide_id, note=raw)
    if doubt := mask_doubt(job, plan):
        log.warning("slide=%s %s", slide_id, doubt)
        events.add("mask", slide=slide_id, note=doubt)


def log_reused(events: Events, job: SlideJob, exporter: str, count: int, total: int) -> None:
    """Log how many tiles of an interrupted run an exporter need not write again."""
    log.info(
        "slide=%s %s: reuses %d of %d tiles of an interrupted run",
        *(job.slide_id, exporter, count, total),
    )
    events.add("resumed", slide=job.slide_id, exporter=exporter, tiles=count)
