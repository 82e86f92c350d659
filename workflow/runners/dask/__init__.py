"""DaskRunner: the tasks of workflows in the workers of a Dask cluster.

Needs the extra ``windtunnel[cluster]``.
"""

from workflow.runners.base import RunnerClosed
from workflow.runners.dask._link import WorkerInfo
from workflow.runners.dask._runner import (
    DaskRunner,
    NoWorkers,
    TaskFailed,
    WorkerLost,
    local_cluster,
)

__all__ = [
    "DaskRunner",
    "NoWorkers",
    "RunnerClosed",
    "TaskFailed",
    "WorkerInfo",
    "WorkerLost",
    "local_cluster",
]
