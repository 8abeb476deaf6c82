"""The dashboards: which questions are asked, in which order, and what to do when an answer looks wrong."""

from dashboards.boards.cache import CACHE
from dashboards.boards.fleet import SFU_FLEET
from dashboards.boards.objectives import SLO
from dashboards.boards.rooms import OVERVIEW, ROOMS
from dashboards.boards.signaling import SIGNALING
from dashboards.boards.state import STATE

ALL = (OVERVIEW, ROOMS, SIGNALING, SFU_FLEET, STATE, CACHE, SLO)
