"""Before the first step: what is asked of nodes, what is said of one that cannot do its part, and addresses that cannot be joined."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cluster import connect, shared
from cluster.connect import Connection, connected
from cluster.errors import ClusterError, Unfit, Unreachable
from cluster.nodes import Need, Node, lacking
from cluster.preflight import Answer, Fact, unfit
from cluster.shared import Seen, look, marked, problems
from pipeline import graph, preflight, recipe, sizes
from pipeline import plan as plans
from pipeline.code import ROOT
from pipeline.preflight import About, tell
from pipeline.store import LocalStore
from tasks.contracts import Tracking
from tests.cluster.nodes import free_port

A = Node("a" * 8, "alpha", "10.0.0.1", 4, 0)
B = Node("b" * 8, "beta", "10.0.0.2", 2, 1)
ENOUGH = 1 << 40


# ---- room ---------------------------------------------------------------------------------------------------------------


def test_what_fits_is_not_spoken_of() -> None:
    assert lacking([Need("one", 4, 0), Need("two", 1, 1), Need("many", 2, 0, processes=3)], [A, B]) == []


def test_a_process_that_no_node_holds_is_named_with_what_the_nodes_have() -> None:
    (sentence,) = lacking([Need("model", 1, 2)], [A, B])
    assert sentence == (
        "step 'model' asks for 1 CPUs and 2 GPUs in one process, but the nodes have alpha (10.0.0.1): 4 CPUs and 0 GPUs; "
        "beta (10.0.0.2): 2 CPUs and 1 GPUs; lower its `resources:` or add a node"
    )


def test_workers_are_counted_node_by_node_because_none_lies_on_two() -> None:
    (sentence,) = lacking([Need("model", 3, 0, processes=2)], [A, B])
    assert "asks for 2 workers of 3 CPUs and 0 GPUs each, but there is room for 1 of them" in sentence


# ---- a folder that all nodes share -----------------------------------------------------------------------------------------


def first(mark: shared.Mark, found: Seen) -> str:
    return next(iter(problems(mark, "n", found, "the store /s")))


def seen(**about: object) -> Seen:
    return Seen(**{"temporary": "/tmp", "temporary_bytes": ENOUGH, **about})  # type: ignore[arg-type]


def test_a_node_that_shares_the_folder_has_no_problem_and_nothing_stays_behind(tmp_path: Path) -> None:
    look_from_another_process = "import sys, pickle; from cluster.shared import *; from pathlib import Path; "
    look_from_another_process += "print(look(Mark(Path(sys.argv[1]), sys.argv[2]), 'n'))"
    with marked(tmp_path) as mark:
        done = subprocess.run(
            [sys.executable, "-c", look_from_another_process, str(tmp_path), mark.token],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "read='', written='', locked=True" in done.stdout
        assert list(problems(mark, "n", seen(), "the store")) == []
    assert not list(tmp_path.iterdir())


def test_a_folder_that_the_node_does_not_see_is_named(tmp_path: Path) -> None:
    with marked(tmp_path) as mark:
        mark.path.rename(tmp_path / "elsewhere")
        found = look(mark, "n")
        (tmp_path / "elsewhere").rename(mark.path)
        assert first(mark, found).startswith(
            "does not see the store /s as it is here (No such file or directory); mount the same folder there"
        )


def test_a_folder_with_another_content_is_not_the_same(tmp_path: Path) -> None:
    with marked(tmp_path) as mark:
        mark.path.write_text("of an earlier run")
        assert "another content" in first(mark, look(mark, "n"))


def test_an_answer_that_does_not_arrive_a_full_disk_and_a_lock_that_does_not_hold_are_told_apart(tmp_path: Path) -> None:
    with marked(tmp_path) as mark:
        assert "it did not arrive here" in first(mark, seen())
        assert "cannot write to it (No space left" in first(mark, seen(written="No space left on device"))
        mark.answer("n").touch()
        assert "does not keep locks" in first(mark, seen(locked=False))
        assert list(problems(mark, "n", seen(temporary_bytes=5 << 20), "the store")) == [
            "has 5 MB left in /tmp, which Ray needs; free at least 256 MB there"
        ]


def test_a_lock_that_nobody_holds_is_noticed(tmp_path: Path) -> None:
    with marked(tmp_path) as mark:
        with (tmp_path / "copy").open("w") as file:
            file.write(mark.token)
        (tmp_path / "copy").rename(mark.path)  # the same content in another file, on which the driver holds no lock
        assert not look(mark, "n").locked


# ---- facts -------------------------------------------------------------------------------------------------------------


def test_every_fact_that_differs_is_named_with_both_values_and_what_to_do(tmp_path: Path) -> None:
    expected = {"Ray": Fact("2.60.0", "install the same Ray there"), "torch": Fact("2.14.1", "install it"), "codecs": Fact("aa", "x")}
    with marked(tmp_path) as mark:
        mark.answer(A.id).touch()
        reply = Answer(seen(), {"Ray": Fact("2.59.0", ""), "torch": Fact("2.14.1", ""), "codecs": Fact("bb", "", "libjpeg 3.0")})
        assert unfit(A, reply, mark, "the store", expected) == [
            "has Ray 2.59.0, expected 2.60.0; install the same Ray there",
            "has codecs bb (libjpeg 3.0), expected aa; x",
        ]
        assert unfit(A, "No module named 'cluster'", mark, "the store", expected) == ["cannot be used: No module named 'cluster'"]
        (broken,) = unfit(A, Answer(seen(), {}, "ImportError: no libjpeg"), mark, "the store", expected)
        assert broken.startswith("could not be asked about its libraries and files: ImportError: no libjpeg; mend that")


RECIPE = """
name: many
store: store
tracking: http://127.0.0.1:{port}
steps:
  corpus: {{task: ingest, source: {{format: folder, path: data}}}}
  shards: {{task: shard, corpus: corpus, prepare: {{text: {{}}}}}}
  model:
    task: train
    shards: shards
    model: {{encoders: {{text: {{kind: gru}}}}, heads: {{label: {{kind: classification}}}}}}
    resources: {{gpus: 1, workers: 2}}
  report: {{task: evaluate, model: model, shards: shards, resources: {{gpus: 1}}}}
"""


@pytest.fixture
def plan(tmp_path: Path) -> plans.Plan:
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "1.txt").write_text("some words")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(port=free_port()))
    loaded = recipe.load(tmp_path / "recipe.yaml")
    return plans.make(graph.build(loaded), LocalStore.open(loaded.store))


def about(plan: plans.Plan) -> About:
    steps = {name: (plan.steps[name].task, dict(plan.steps[name].parts)) for name in plan.to_run}
    return About(plan.graph.recipe.base_dir, steps, "", preflight.places(plan))


def test_a_machine_tells_libraries_codecs_sources_and_code(plan: plans.Plan, tmp_path: Path) -> None:
    facts = tell(about(plan))
    assert facts["packages"].value == "Medley's own"
    assert facts["torch"].value
    assert len(facts["codecs.text.fingerprint of step 'shards'"].value) == 16
    source = f"the source of step 'corpus', {tmp_path / 'data'},"
    assert facts[source].value == "there and readable"
    asked = about(plan)
    (tmp_path / "data").rename(tmp_path / "gone")
    assert tell(asked)[source].value == "not there"


def ingesting(folder: Path, source: str) -> plans.Plan:
    """The plan of a recipe with this source alone."""
    (folder / "recipe.yaml").write_text(f"name: toy\nstore: store\nsteps:\n  corpus: {{task: ingest, source: {source}}}\n")
    return plans.make(graph.build(recipe.load(folder / "recipe.yaml")), LocalStore.open(folder / "store"))


def test_each_folder_that_holds_tars_is_asked_for(tmp_path: Path) -> None:
    for name in ("one/a-0.tar", "one/a-1.tar", "two/b.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with tarfile.open(tmp_path / name, "w") as tar:
            tar.addfile(tarfile.TarInfo(f"{name[-5]}.txt"))
    plan = ingesting(tmp_path, '{format: webdataset, path: ["one/a-{0..1}.tar", "two/*.tar"]}')
    assert preflight.places(plan) == {"corpus": (tmp_path / "one", tmp_path / "two")}
    asked = about(plan)
    (tmp_path / "two").rename(tmp_path / "gone")
    told = {name: fact.value for name, fact in tell(asked).items() if name.startswith("the source of step 'corpus'")}
    assert told == {
        f"the source of step 'corpus', {tmp_path / 'one'},": "there and readable",
        f"the source of step 'corpus', {tmp_path / 'two'},": "not there",
    }


SOURCE = """
from tasks.registry import Config as Base


class {name}:
    class Config(Base):
        format: str
        path: dict[str, str] = {{}}

    def __init__(self, config, base_dir):
        pass

    def snapshot(self):
        return {{"digest": "one"}}
"""


def test_a_source_of_ones_own_says_its_places_or_is_looked_for_in_the_recipes_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "silent_source.py").write_text(SOURCE.format(name="Silent"))
    (tmp_path / "saying_source.py").write_text(SOURCE.format(name="Saying") + "    def places(self):\n        return ['below', '/else']\n")
    assert preflight.places(ingesting(tmp_path, "{format: 'silent_source:Silent', path: {a: b}}")) == {"corpus": (tmp_path,)}
    assert preflight.places(ingesting(tmp_path, "{format: 'saying_source:Saying'}")) == {"corpus": (tmp_path / "below", Path("/else"))}


def test_code_of_the_users_own_that_a_node_does_not_see_is_a_fact_not_a_crash(plan: plans.Plan, tmp_path: Path) -> None:
    asked = about(plan)
    parts = json.loads(json.dumps(asked.steps["corpus"][1]))
    parts["config"]["source"] = {"format": "nowhere_to_be_found:Mine"}
    told = tell(About(tmp_path, {"corpus": ("ingest", parts)}, ""))["the code of step 'corpus'"]
    assert "there is no module 'nowhere_to_be_found'" in told.value
    assert "put the recipe's folder where every node sees it" in told.advice


def test_a_gpu_recipe_is_refused_on_one_machine_without_asking_it_anything_else(plan: plans.Plan) -> None:
    alone = Connection(local=True, started=True, cpus=4, gpus=0, nodes=(A,))
    with pytest.raises(Unfit) as refused:
        preflight.check(plan, alone, Tracking("sqlite:///x.db"))
    assert [problem.split(", but")[0] for problem in refused.value.problems] == [
        "step 'model' asks for 2 workers of 1 CPUs and 1 GPUs each",
        "step 'report' asks for 1 CPUs and 1 GPUs in one process",
    ]


def test_training_has_a_worker_wherever_ray_is_not_our_own(plan: plans.Plan) -> None:
    steps = plan.graph.recipe.steps
    assert steps["model"].resources.workers == 2
    loaded = recipe.load(plan.graph.recipe.path, ["steps.model.resources.workers=0", "steps.model.resources.gpus=0"])
    alone = plans.make(graph.build(loaded), plan.store)
    assert sizes.size(alone, "model", local=True) == sizes.Size(1, 0, 0)
    assert sizes.size(alone, "model", local=False) == sizes.Size(0, 0, 1)
    assert sizes.size(alone, "shards", local=False) == sizes.Size(0, 0, 0)


# ---- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://head:10001", "is an address of Ray Client, through which Medley cannot run"),
        ("http://head:8265", "is the address of a head's job server; `medley submit RECIPE --address http://head:8265`"),
        ("head", "is no address of a Ray head; give `auto`, or its host and port such as 10.0.0.1:6379"),
    ],
)
def test_an_address_that_cannot_be_joined_says_what_to_give(address: str, said: str) -> None:
    with pytest.raises(ClusterError, match=said), connected(ROOT, address):
        pass


def test_a_head_that_does_not_answer_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "REACH_S", 1.0)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match=f"no Ray head answers at {address} within 1 s .*ray start --head"), connected(ROOT, address):
        pass


def test_the_environment_variable_is_an_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ClusterError, match="Ray Client"), connected(ROOT):
        pass
