"""The platform simulator: the card platform's documented API as a real HTTP server, on a real local chain.

It shares no code with the client: signatures and digests are verified here from the RFCs alone.
"""

from .config import Credentials, Options, Programme, SimulatorConfig
from .simulator import Simulator, SimulatorThread

__all__ = ["Credentials", "Options", "Programme", "Simulator", "SimulatorConfig", "SimulatorThread"]
