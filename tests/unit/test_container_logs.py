"""What is in memory of logs has a bound, however many pods leave at once, and a dead kubelet holds up few."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from runyard.api.outcome import Outcome, Reason, TrainingRunStatus
from runyard_operator.cluster import Cluster
from runyard_operator.container_logs import ContainerLogs
from runyard_operator.mirror import Mirror
from runyard_operator.objects import Key
from tests.support.factories import at, attempt, job, pod, running, terminated, waiting

MEBIBYTE = 1 << 20


class Kubelets(Cluster):
    """Kubelets that give as much of a log as is asked for; those that are dead do not answer."""

    def __init__(self, *dead: str) -> None:
        self.dead, self.asked, self.at_once, self.most_at_once = dead, 0, 0, 0
        self.answers = asyncio.Event()

    async def log_tail(self, _namespace: str, pod: str, _container: str, limit_bytes: int) -> bytes | None:
        self.asked += 1
        self.at_once += limit_bytes
        self.most_at_once = max(self.most_at_once, self.at_once)
        if pod.startswith(self.dead or ("-",)):
            await self.answers.wait()
        await asyncio.sleep(0)
        self.at_once -= limit_bytes
        return b"x" * limit_bytes


class Gone(Kubelets):
    """A kubelet that has removed what it kept."""

    async def log_tail(self, *_: object) -> bytes | None:
        return None


def of(cluster: Cluster, limit_bytes: int = MEBIBYTE) -> ContainerLogs:
    return ContainerLogs(cluster, Mirror(), limit_bytes, lambda: datetime.now(UTC))


def leaving(name: str, node: str) -> tuple[Key, object]:
    found = pod(name, "Running", deleted=at(60), containers=[running()])
    return Key("team", name, f"uid-of-{name}"), found.model_copy(
        update={"spec": found.spec.model_copy(update={"node_name": node})}
    )


async def until_all_are_kept(logs: ContainerLogs) -> None:
    while tasks := list(logs._keeping.values()):  # noqa: SLF001 the tasks have no other end to wait for
        await asyncio.wait(tasks)


async def test_four_hundred_pods_that_leave_at_once_take_no_more_memory_than_is_stated() -> None:
    kubelets = Kubelets()
    logs = of(kubelets)
    for number in range(400):
        key, found = leaving(f"p{number}", f"node-{number % 50}")
        view = logs.mirror.view(key)
        view.see_pod(found)  # type: ignore[arg-type]
        logs.keep(key, view, TrainingRunStatus())
    await until_all_are_kept(logs)
    assert kubelets.asked == 400
    for number in range(400):
        key, _ = leaving(f"p{number}", "any")
        assert logs.mirror.view(key).logs[key.uid]["training"], "of each there is something"
    assert logs.mirror.log_bytes <= 32 * MEBIBYTE + 400 * 16 * 1024
    assert kubelets.most_at_once <= 16 * MEBIBYTE


async def test_a_node_that_does_not_answer_leaves_room_for_the_logs_of_others() -> None:
    kubelets = Kubelets("dead")
    logs = of(kubelets)
    for number in range(100):
        key, found = leaving(f"dead-{number}", "dead")
        logs.mirror.view(key).see_pod(found)  # type: ignore[arg-type]
        logs.keep(key, logs.mirror.view(key), TrainingRunStatus())
    key, found = leaving("well", "well")
    view = logs.mirror.view(key)
    view.see_pod(found)  # type: ignore[arg-type]
    logs.keep(key, view, TrainingRunStatus())
    for _ in range(100):
        await asyncio.sleep(0)
    assert view.logs["uid-of-well"]["training"]
    kubelets.answers.set()
    await until_all_are_kept(logs)


async def test_a_pod_that_leaves_later_is_read_while_another_of_its_training_hangs() -> None:
    kubelets = Kubelets("dead")
    logs = of(kubelets)
    key, dead = leaving("dead", "dead")
    view = logs.mirror.view(key)
    view.see_pod(dead)  # type: ignore[arg-type]
    logs.keep(key, view, TrainingRunStatus())
    await asyncio.sleep(0)
    _, well = leaving("well", "well")
    view.see_pod(well)  # type: ignore[arg-type]
    logs.keep(key, view, TrainingRunStatus())
    for _ in range(10):
        await asyncio.sleep(0)
    assert view.logs["uid-of-well"]["training"]
    assert kubelets.asked == 2, "what is being read is not read again"
    kubelets.answers.set()
    await until_all_are_kept(logs)


async def test_a_dead_node_leaves_room_to_store_the_logs_of_others() -> None:
    kubelets = Kubelets("dead")
    logs = of(kubelets, limit_bytes=1000)
    view = logs.mirror.view(Key("team", "a", "a"))

    async def store(name: str, node: str) -> bytes | None:
        ended = attempt(name, Outcome.FAILED, reason="Error", node=node, finished_at=datetime.now(UTC))
        async with logs.of_attempt("team", view, ended) as found:
            [tail] = [tail async for tail in found]
            return tail.text

    waiting = [asyncio.create_task(store(f"dead-{number}", "dead")) for number in range(50)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(store("well", "well"), timeout=60) == b"x" * 1000
    kubelets.answers.set()
    await asyncio.gather(*waiting)


async def test_a_node_called_lost_whose_kubelet_told_the_end_is_asked() -> None:
    logs = of(Kubelets(), limit_bytes=10)
    tainted = attempt(outcome=Outcome.CANCELLED, reason=str(Reason.NODE_LOST), exit_code=143)
    async with logs.of_attempt("team", logs.mirror.view(Key("team", "a", "a")), tainted) as found:
        assert [tail.text async for tail in found] == [b"x" * 10]


async def test_a_lost_node_is_not_asked_for_a_log() -> None:
    kubelets = Kubelets()
    logs = of(kubelets)
    view = logs.mirror.view(Key("team", "a", "a"))
    lost = attempt(outcome=Outcome.CANCELLED, reason=str(Reason.NODE_LOST), message="the node does not answer")
    async with logs.of_attempt("team", view, lost) as found:
        [tail] = [tail async for tail in found]
    assert kubelets.asked == 0
    assert tail.text == f"There is no log of pod {lost.pod} (NodeLost): {lost.message}\n".encode()
    assert not tail.is_log


async def test_of_each_container_that_has_run_there_is_its_log_or_why_there_is_none() -> None:
    class OfTheTraining(Kubelets):
        async def log_tail(self, _namespace: str, _pod: str, container: str, _limit: int) -> bytes | None:
            return {"training": b"epoch 1", "quiet": b""}.get(container)

    logs = of(OfTheTraining())
    view = logs.mirror.view(Key("team", "a", "a"))
    others = [
        {**terminated(1), "name": "proxy"},
        {**terminated(0), "name": "quiet"},
        waiting("PodInitializing", name="late"),
    ]
    view.see_pod(pod("a-1", "Failed", containers=[terminated(1), *others]))
    failed = attempt("a-1", Outcome.FAILED, reason="Error", message="exit code 1")
    failed = failed.model_copy(update={"uid": next(iter(view.pods))})
    async with logs.of_attempt("team", view, failed) as found:
        tails = {tail.container: (tail.text, tail.is_log) async for tail in found}
    assert tails == {
        "training": (b"epoch 1", True),
        "proxy": (b"There is no log of the container proxy of pod a-1 (Error): exit code 1\n", False),
        "quiet": (b"", True),
    }


async def test_of_a_container_that_the_kubelet_has_removed_its_last_lines_are_there() -> None:
    logs = of(Gone())
    view = logs.mirror.view(Key("team", "a", "a"))
    view.see_pod(pod("a-1", "Failed", containers=[terminated(143, message="epoch 6\nepoch 7\n")]))
    evicted = attempt("a-1", Outcome.FAILED, reason="Evicted", message="the disk")
    evicted = evicted.model_copy(update={"uid": next(iter(view.pods))})
    async with logs.of_attempt("team", view, evicted) as found:
        [tail] = [tail async for tail in found]
    said = "There is no log of pod a-1 (Evicted): the disk\nIts last lines were:\nepoch 6\nepoch 7\n"
    assert (tail.text, tail.is_log) == (said.encode(), False)


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(hours=1)])
async def test_of_an_init_container_that_failed_the_sentence_names_it(ago: timedelta) -> None:
    logs = of(Gone())
    view = logs.mirror.view(Key("team", "a", "a"))
    failed = attempt(outcome=Outcome.FAILED, reason="Error", exit_code=2, finished_at=datetime.now(UTC) - ago)
    failed = failed.model_copy(update={"container": "unpack"})
    async with logs.of_attempt("team", view, failed) as found:
        [tail] = [tail async for tail in found]
    assert tail.text == f"There is no log of pod {failed.pod} (Error): the container unpack failed\n".encode()


async def test_of_each_container_of_a_pod_that_is_gone_there_is_why_there_is_no_log() -> None:
    logs = of(Gone())
    view = logs.mirror.view(Key("team", "a", "a"))
    containers = [{"name": "proxy"}, {"name": "training"}]
    view.see_job(job(template={"spec": {"initContainers": [{"name": "fetch"}], "containers": containers}}))
    gone = attempt("a-1", Outcome.CANCELLED, reason="PodDeleted", message="the pod was deleted")
    view.logs[gone.uid] = {"proxy": b"GET /"}
    async with logs.of_attempt("team", view, gone) as found:
        tails = {tail.container: (tail.text, tail.is_log) async for tail in found}
    assert tails == {
        "training": (b"There is no log of pod a-1 (PodDeleted): the pod was deleted\n", False),
        "fetch": (b"There is no log of the container fetch of pod a-1 (PodDeleted): the pod was deleted\n", False),
        "proxy": (b"GET /", True),
    }
