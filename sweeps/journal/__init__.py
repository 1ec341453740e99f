"""The append-only record of a sweep.

The journal is the sweep; MLflow, the terminal and the reports are views of it. `events` defines its lines, `file`
writes and reads them, and `record` adds them up.
"""

from sweeps.journal.events import Environment as Environment
from sweeps.journal.events import EpochEnded as EpochEnded
from sweeps.journal.events import Event as Event
from sweeps.journal.events import ReferenceEnded as ReferenceEnded
from sweeps.journal.events import SweepEnded as SweepEnded
from sweeps.journal.events import SweepResumed as SweepResumed
from sweeps.journal.events import SweepStarted as SweepStarted
from sweeps.journal.events import TrialEnded as TrialEnded
from sweeps.journal.events import TrialStarted as TrialStarted
from sweeps.journal.file import FILE as FILE
from sweeps.journal.file import LOCK as LOCK
from sweeps.journal.file import Follower as Follower
from sweeps.journal.file import Journal as Journal
from sweeps.journal.file import JournalError as JournalError
from sweeps.journal.file import in_use as in_use
from sweeps.journal.file import locked as locked
from sweeps.journal.file import read as read
from sweeps.journal.record import HOST as HOST
from sweeps.journal.record import INTERRUPTED as INTERRUPTED
from sweeps.journal.record import RunLinks as RunLinks
from sweeps.journal.record import SweepRecord as SweepRecord
from sweeps.journal.record import TrialRecord as TrialRecord
