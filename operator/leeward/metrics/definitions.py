"""Every metric of the operator: its name, its labels, what it means, in which unit.

docs/metrics.md, the alerts and the dashboards are tested against this. Names follow Prometheus's
practices: base units, `_total` for counters, times as Unix seconds. No label has a value that
tenants could make up without end: executions are labels only while they live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """As it is exported; a histogram's has `_bucket`, `_sum` and `_count` besides."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Of a histogram: upper bounds, without infinity."""


_MINUTES: Final = (60, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
_PEOPLE: Final = (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200)
_CALLS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_REQUESTS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_PASSES: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300)
_PLACE: Final = ("account_id", "region", "service")
_RUN: Final = ("namespace", "operation")
_PLAN: Final = ("namespace", "plan")
_SCHEDULE: Final = ("namespace", "schedule", "plan")

# --- Executions and gates, counted when they happen. Dry runs are not counted.

STARTED: Final = Metric(
    "leeward_executions_started_total", "counter", "Executions that began.", (*_RUN, "mode")
)
ENDED: Final = Metric(
    "leeward_executions_ended_total", "counter",
    "Executions that ended, by verdict: Succeeded, Failed, Cancelled, Expired.", (*_RUN, "state"),
)  # fmt: skip
DURATION: Final = Metric(
    "leeward_execution_duration_seconds", "histogram",
    "From the start of an execution to its end, waiting for people included.",
    ("operation", "state"), _MINUTES,
)  # fmt: skip
WAITED: Final = Metric(
    "leeward_execution_waited_seconds", "histogram",
    "How long an execution that ended had waited for people in all.", ("operation",), _PEOPLE,
)  # fmt: skip
RESOURCES: Final = Metric(
    "leeward_execution_resources_total", "counter",
    "Resources of executions that ended: Complete, Failed, Skipped, or Open when it was left.",
    (*_RUN, "result"),
)  # fmt: skip
WAVES: Final = Metric(
    "leeward_execution_waves_total", "counter",
    "Waves of executions that ended, by the wave's state.", (*_RUN, "state"),
)  # fmt: skip
GATES_ASKED: Final = Metric("leeward_gates_asked_total", "counter", "Gates that were asked.", _RUN)
GATES_ENDED: Final = Metric(
    "leeward_gates_ended_total", "counter",
    "Gates that stopped waiting, by how: Approved, Automatic, Rejected, TimedOut.",
    (*_RUN, "outcome"),
)  # fmt: skip
GATE_WAIT: Final = Metric(
    "leeward_gate_wait_seconds", "histogram",
    "How long a gate waited until it stopped waiting.", ("operation", "outcome"), _PEOPLE,
)  # fmt: skip

# --- Live executions, as the last write left them.

EXECUTION: Final = Metric(
    "leeward_execution_info", "gauge", "1 for each live execution.",
    ("namespace", "execution", "plan", "operation", "mode", "state"),
)  # fmt: skip
EXECUTION_STARTED: Final = Metric(
    "leeward_execution_start_timestamp_seconds", "gauge", "When a live execution began.",
    ("namespace", "execution", "plan"),
)  # fmt: skip
WAITING: Final = Metric(
    "leeward_execution_waiting_since_timestamp_seconds", "gauge",
    "Since when a live execution waits for a person: Approval, Decision, or Resume of a pause.",
    ("namespace", "execution", "plan", "what"),
)  # fmt: skip
PROGRESS: Final = Metric(
    "leeward_execution_resources", "gauge",
    "Resources of a live execution: Complete, InProgress, Failed, Skipped; with Total.",
    ("namespace", "execution", "plan", "state"),
)  # fmt: skip
RTO_MISSED: Final = Metric(
    "leeward_execution_rto_missed", "gauge",
    "1 once a live execution lasts longer than the plan's recovery time objective, else 0.",
    ("namespace", "execution", "plan"),
)  # fmt: skip
GUARDED: Final = Metric(
    "leeward_execution_guard_active", "gauge",
    "1 while the policies that make approvals unforgeable are proved for it, else 0.",
    ("namespace", "execution", "plan"),
)  # fmt: skip

# --- Plans.

PLAN_CONDITION: Final = Metric(
    "leeward_plan_condition", "gauge", "1 for the status that each condition of a plan has.",
    (*_PLAN, "type", "status", "reason"),
)  # fmt: skip
PLAN_LOCATION: Final = Metric(
    "leeward_plan_location", "gauge", "1 for where the estate serves.", (*_PLAN, "location")
)
PLAN_RESOURCES: Final = Metric(
    "leeward_plan_resources", "gauge", "Resources that an execution would recover.", _PLAN
)
PLAN_FINDINGS: Final = Metric(
    "leeward_plan_findings", "gauge",
    "Resources with findings of readiness: Blocking, Degraded, Warning.", (*_PLAN, "severity"),
)  # fmt: skip
PLAN_CREATED: Final = Metric(
    "leeward_plan_created_timestamp_seconds", "gauge", "When the plan was made.", _PLAN
)
PLAN_DISCOVERED: Final = Metric(
    "leeward_plan_discovered_timestamp_seconds", "gauge",
    "When every account of the plan had answered: the oldest of their last answers. One that never "
    "answered counts from when the plan was made.", _PLAN,
)  # fmt: skip
LAG: Final = Metric(
    "leeward_plan_replication_lag_seconds", "gauge",
    "The largest replication lag of the plan's servers. Absent while no lag is known.", _PLAN,
)  # fmt: skip
LAG_SERVERS: Final = Metric(
    "leeward_plan_replication_servers", "gauge",
    "Servers that replicate: All, Above their recovery point objective, of Unknown lag.",
    (*_PLAN, "lag"),
)  # fmt: skip
RPO: Final = Metric(
    "leeward_plan_rpo_objective_seconds", "gauge", "The plan's recovery point objective.", _PLAN
)
RTO: Final = Metric(
    "leeward_plan_rto_objective_seconds", "gauge", "The plan's recovery time objective.", _PLAN
)
LAST_DRILL: Final = Metric(
    "leeward_plan_last_drill_timestamp_seconds", "gauge",
    "When the newest drill of the whole plan passed. Absent before the first.", _PLAN,
)  # fmt: skip
LAST_RUN: Final = Metric(
    "leeward_plan_last_execution_timestamp_seconds", "gauge",
    "When the last drill and the last other execution of the plan ended, and how. Not: Cancelled.",
    (*_PLAN, "operation", "state"),
)  # fmt: skip
UNFENCED: Final = Metric(
    "leeward_plan_unfenced_resources", "gauge",
    "Resources on the side that was left which may still write. Running: AWS answers there again.",
    (*_PLAN, "seen"),
)  # fmt: skip

# --- Schedules of drills.

SCHEDULE_NEXT: Final = Metric(
    "leeward_schedule_next_timestamp_seconds", "gauge",
    "When the next drill of a schedule starts. Absent while none does.", _SCHEDULE,
)  # fmt: skip
SCHEDULE_SUCCEEDED: Final = Metric(
    "leeward_schedule_last_success_timestamp_seconds", "gauge",
    "When the last drill of a schedule that succeeded ended. Absent before the first.", _SCHEDULE,
)  # fmt: skip
SCHEDULE_MISSED: Final = Metric(
    "leeward_schedule_missed", "gauge",
    "Drills that were due and did not start, since the schedule was made.", _SCHEDULE,
)  # fmt: skip

# --- Accounts.

ACCOUNT_READY: Final = Metric(
    "leeward_account_ready", "gauge",
    "1 if both roles of a TargetAccount can be used and may do what its plans need, else 0.",
    ("account", "account_id", "reason"),
)  # fmt: skip
ACCOUNT_SERVERS: Final = Metric(
    "leeward_account_servers", "gauge",
    "DRS source servers in a recovery Region: Source, Replicating, Free, InJobs.",
    ("account", "account_id", "region", "what"),
)  # fmt: skip
ACCOUNT_JOBS: Final = Metric(
    "leeward_account_jobs", "gauge", "DRS jobs in progress in a recovery Region.",
    ("account", "account_id", "region"),
)  # fmt: skip
ACCOUNT_CHECKED: Final = Metric(
    "leeward_account_checked_timestamp_seconds", "gauge", "When the account was last looked at.",
    ("account", "account_id"),
)  # fmt: skip

# --- The operator itself.

BUILD: Final = Metric("leeward_build_info", "gauge", "1, with the version.", ("version", "hub"))
LEADER: Final = Metric("leeward_leader", "gauge", "1 if this replica leads, 0 if it stands by.")
EPOCH: Final = Metric(
    "leeward_leader_epoch", "gauge", "Epoch of this leadership; 0 if it has none."
)
CHECK: Final = Metric(
    "leeward_ready", "gauge", "1 for each check of /readyz that passes, else 0.", ("check",)
)
SUPERVISED: Final = Metric(
    "leeward_supervised_objects", "gauge", "Objects that get passes.", ("kind",)
)
RESYNCED: Final = Metric(
    "leeward_last_resync_timestamp_seconds", "gauge",
    "When all objects of a kind were last listed with success.", ("kind",),
)  # fmt: skip
PASSES: Final = Metric(
    "leeward_passes_total", "counter",
    "Passes over objects: Ok, Conflict (the object moved on), Unavailable (no API server), Refused "
    "(by it), Error (a mistake of the operator's).",
    ("kind", "outcome"),
)  # fmt: skip
PASS_SECONDS: Final = Metric(
    "leeward_pass_duration_seconds", "histogram", "How long a pass took.", ("kind",), _PASSES
)
QUEUE: Final = Metric("leeward_queue_depth", "gauge", "Calls that wait for a thread.", ("pool",))
BUSY: Final = Metric("leeward_queue_busy", "gauge", "Threads at work.", ("pool",))
AWS_SECONDS: Final = Metric(
    "leeward_aws_call_duration_seconds", "histogram",
    "From sending an attempt to AWS to its answer. account_id is own for the operator's.",
    _PLACE, _CALLS,
)  # fmt: skip
AWS_CALLS: Final = Metric(
    "leeward_aws_calls_total", "counter",
    "Attempts of calls to AWS: Ok, Throttled, NotSent, Transient, Quota, Conflict, Denied, Final, "
    "InDoubt.", (*_PLACE, "outcome"),
)  # fmt: skip
CIRCUIT: Final = Metric(
    "leeward_aws_circuit_open", "gauge",
    "1 while calls are held back because those before got no answer. account_id is all for an "
    "endpoint that is away for everybody.", _PLACE,
)  # fmt: skip
KUBE_SECONDS: Final = Metric(
    "leeward_kube_request_duration_seconds", "histogram",
    "How long a request to the API server took.", ("verb",), _REQUESTS,
)  # fmt: skip
KUBE_REQUESTS: Final = Metric(
    "leeward_kube_requests_total", "counter",
    "Requests to the API server by HTTP status; 0: no answer.", ("verb", "code"),
)  # fmt: skip
PUBLISHED: Final = Metric(
    "leeward_cloudwatch_values_total", "counter",
    "Values for CloudWatch: Sent, Dropped (in doubt, refused, or too many waiting).", ("outcome",),
)  # fmt: skip
SPANS: Final = Metric(
    "leeward_trace_spans_total", "counter",
    "Spans of traces: Sent, Dropped (the collector did not take them in time).", ("outcome",),
)  # fmt: skip

METRICS: Final = tuple(value for value in globals().values() if isinstance(value, Metric))
"""All of them."""
