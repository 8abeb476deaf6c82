"""Metrics of every process of ours, and of the interpreter as prometheus-client measures it."""

from shared.telemetry.metric import Label, Metric

MEMORY_LIMIT = Metric(
    name="headrace_memory_limit_bytes",
    kind="gauge",
    unit="bytes",
    help="Memory that this process may use: its container's limit, else the machine's memory",
    question="What is the use of memory measured against?",
)
CPU_USED = Metric(
    name="headrace_cpu_used_ratio",
    kind="gauge",
    unit="share",
    help="Processor time of the last minute, over what this process may use: its container's limit, one core at most",
    question="Has the process too much to do?",
)
MEMORY_USED = Metric(
    name="headrace_memory_used_ratio",
    kind="gauge",
    unit="share",
    help="Memory held over the limit, or that all on the machine hold over its memory, whichever is more",
    question="How near is the process to being killed for its memory?",
)
DRAINING = Metric(
    name="headrace_draining",
    kind="gauge",
    help="1 while this process lets its clients move before it stops",
    question="Is a drop of connections a deployment or an accident?",
)
TASKS = Metric(
    name="headrace_event_loop_tasks",
    kind="gauge",
    help="Tasks of the event loop that have not ended",
    question="Is something begun again and again that never ends?",
)
TASK_FAILURES = Metric(
    name="headrace_task_failures_total",
    kind="counter",
    help="Errors that nobody foresaw in what a process does for as long as it runs; it was begun again",
    question="Is there a fault in the program that only the log tells of?",
    labels=(Label("task", "what it was", at_most=32),),
)

CPU_SECONDS = Metric(
    name="process_cpu_seconds_total",
    kind="counter",
    unit="seconds",
    help="Processor time of the process",
    question="How much of its core does the process use?",
)
RESIDENT_MEMORY = Metric(
    name="process_resident_memory_bytes",
    kind="gauge",
    unit="bytes",
    help="Memory that the process holds",
    question="Does it grow without its load growing?",
)
_GENERATION = Label("generation", "of the garbage collector", ("0", "1", "2"))

OURS = (MEMORY_LIMIT, CPU_USED, MEMORY_USED, DRAINING, TASKS, TASK_FAILURES)
INTERPRETER = (
    CPU_SECONDS,
    RESIDENT_MEMORY,
    Metric(
        name="process_virtual_memory_bytes",
        kind="gauge",
        unit="bytes",
        help="Address space of the process",
        question="Is memory mapped that is never used?",
    ),
    Metric(
        name="process_start_time_seconds",
        kind="gauge",
        unit="seconds",
        help="When the process started, since 1970",
        question="Was it restarted?",
    ),
    Metric(
        name="process_open_fds",
        kind="gauge",
        help="Open file descriptors",
        question="How near is it to the limit of sockets and files?",
    ),
    Metric(
        name="process_max_fds",
        kind="gauge",
        help="File descriptors that may be open",
        question="Was the limit raised, as it should be?",
    ),
    Metric(
        name="python_info",
        kind="gauge",
        help="The interpreter, as labels",
        question="Which Python runs?",
        labels=tuple(
            Label(name, "of the interpreter", at_most=1)
            for name in ("implementation", "major", "minor", "patchlevel", "version")
        ),
    ),
    Metric(
        name="python_gc_objects_collected_total",
        kind="counter",
        help="Objects that the garbage collector freed",
        question="Does something make reference cycles?",
        labels=(_GENERATION,),
    ),
    Metric(
        name="python_gc_objects_uncollectable_total",
        kind="counter",
        help="Objects that it could not free",
        question="Is there a leak that will not go away?",
        labels=(_GENERATION,),
    ),
    Metric(
        name="python_gc_collections_total",
        kind="counter",
        help="Runs of the garbage collector",
        question="How often does it hold up everything?",
        labels=(_GENERATION,),
    ),
)
