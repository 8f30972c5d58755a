"""Where a batch is graded: in threads here, or by the workers of a Dask cluster, all with the same checks."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from utils.grading import UsageError
from utils.grading.cache import checks_digest
from utils.grading.warm import close_servers

CLUSTER_SECONDS = 30.0  # for a scheduler to answer, and for its first worker


@contextmanager
def backend(jobs: int, cluster: str | None, digests: dict[str, str]) -> Iterator[None]:
    """Where joblib runs the tasks: in threads, each with a server process, or on the cluster's workers."""
    if cluster is None:
        with joblib.parallel_config("threading", n_jobs=jobs):
            yield
        return
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("--cluster needs the package distributed; run: .venv/bin/pip install distributed")
    from distributed import CancelledError, Client, KilledWorker

    try:
        client = Client(cluster, timeout=CLUSTER_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise UsageError(f"no Dask scheduler answers at {cluster}; is it running?") from None
    with client, client.as_current():
        # before any task: one that the scheduler or a worker cannot even read would be waited for without an end
        try:
            client.run_on_scheduler(close_servers)  # any function of the course, to see whether it can be loaded there
        except Exception as error:  # comes as whatever Dask makes of it
            raise UsageError(f"the scheduler cannot load the course ({error}); start it in its folder") from None
        try:
            client.wait_for_workers(1, timeout=CLUSTER_SECONDS)
        except TimeoutError:
            raise UsageError(f"the cluster has no worker after {CLUSTER_SECONDS:.0f} s; start some") from None
        for said in client.run(other_checks, digests, on_error="return").values():
            if isinstance(said, OSError):  # it has gone a moment ago
                continue
            if isinstance(said, Exception):
                raise UsageError(f"a worker cannot load the course ({said}); start it in its folder")
            refuse_chapters(said)
        if sum(client.ncores().values()) == 1:  # joblib's way with one is to do the work itself
            raise UsageError("the cluster has one worker with one thread; start more, or grade without --cluster")
        try:
            with joblib.parallel_config("dask"):
                yield
        except (CancelledError, KilledWorker):
            raise UsageError("the cluster was lost on the way; the same command goes on from here") from None


def other_checks(digests: dict[str, str]) -> list[str]:
    """The chapters whose checks are others here, or missing."""

    def here(chapter: str) -> str:
        try:
            return checks_digest(chapter)
        except OSError:
            return ""

    return [chapter for chapter, digest in digests.items() if here(chapter) != digest]


def refuse_chapters(chapters: list[str]) -> None:
    if chapters:
        raise UsageError(f"a worker has other checks of {', '.join(chapters)}; bring the course there up to date")
