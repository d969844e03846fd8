"""`interlock` of a release whose folds have the versions that LATER_FOLDS says, for example `{"live": 2}`."""

from __future__ import annotations

import os

import orjson

from api.cli import main
from projections.made_with import FOLDS, Projection

FOLDS.update({Projection(name): fold for name, fold in orjson.loads(os.environ["LATER_FOLDS"]).items()})
main()
