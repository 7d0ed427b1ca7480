from .api import Run as Run
from .api import launch as launch
from .api import load_config as load_config
from .api import open_craters as open_craters
from .api import open_leaderboard as open_leaderboard
from .api import open_map as open_map
from .api import open_mosaic as open_mosaic
from .api import open_table as open_table
from .api import plan as plan
from .api import prepare as prepare
from .api import sample_tile as sample_tile
from .api import status as status

__version__: str
