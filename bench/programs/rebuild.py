"""One rebuild of the live state as the command line does it, with what it used of the machine."""

from __future__ import annotations

import json
import sys
import time

import structlog
import uvloop

from api.cli.garbage import collect_seldom
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.settings import LogSettings
from processors.rebuild.building import Options
from processors.rebuild.progress import Progress
from processors.rebuild.rebuild import Rebuild
from projections.live.store import LiveStore
from projections.settings import LiveSettings


async def rebuild(log: LogSettings, live: LiveSettings) -> dict[str, object]:
    """CPU from the beginning of the rebuild to its end, the comparison and the cut-over included."""
    codec = Codec(FolderRegistry())
    collect_seldom()
    async with Publisher(log, codec) as publisher, LiveStore(live) as store:
        cpu_s = time.process_time()
        one = Rebuild(log, store, codec, publisher, Options(), Progress(lambda *_: None), lambda _: None)
        outcome = await one.run()
        return {
            "equal": outcome.is_live,
            "differences": [str(each) for each in outcome.comparison.differences[:20]],
            "folded": outcome.folded,
            "cpu_s": time.process_time() - cpu_s,
            "took_s": outcome.took_s,
            "still_s": outcome.still_s,
        }


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    log, live = LogSettings.model_validate_json(sys.argv[1]), LiveSettings.model_validate_json(sys.argv[2])
    print(json.dumps(uvloop.run(rebuild(log, live))))
