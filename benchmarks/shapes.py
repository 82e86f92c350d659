"""The plan that the benchmarks run: many scans below one node."""

from sim.scenario import Cluster, Scenario, Workload
from workflow import Plan
from workflow.plan import DataObjScan, Merge, Node, Parallelize, ScanSet, TopK

__all__ = ["BATCH_ROWS", "many_scans", "scenario"]

BATCH_ROWS = 5


def many_scans(scans: int, top: Node) -> Plan:
    """`top` over Parallelize over a ScanSet: partitions into one task a scan, and one more."""
    targets = tuple(DataObjScan(location=f"objects/{number}") for number in range(scans))
    plan = Plan()
    nodes = [plan.add(node) for node in (top, Parallelize(), ScanSet(targets=targets))]
    plan.add_edge(nodes[0], nodes[1])
    plan.add_edge(nodes[1], nodes[2])
    return plan


def scenario(shape: str, tasks: int, records: int) -> Scenario:
    """Scans of `records` batches each, on 8 workers with 8 slots.

    ``merge`` lets every record through to the client, ``topk`` keeps the first 100 rows.
    """
    plan = many_scans(tasks, Merge() if shape == "merge" else TopK(k=100))
    return Scenario(
        name=f"{shape}-{tasks}",
        cluster=Cluster(workers=8, slots=8),
        workloads=(Workload(plan=plan, rows_per_scan=records * BATCH_ROWS, batch_rows=BATCH_ROWS),),
        max_steps=100_000_000,
    )
