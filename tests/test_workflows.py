"""The public workflows run what the README says, with what pyproject.toml promises, and no more."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}
every_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands(workflow: dict[str, Any]) -> list[str]:
    return [line for step in steps(workflow) for line in step.get("run", "").splitlines()]


def test_the_readme_s_commands_are_what_is_run() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    windows = re.findall(r"```powershell\n(.*?)```", readme, re.DOTALL)[0].splitlines()
    assert "make test    #" in readme
    assert "make book    #" in readme
    assert {"make test", "make book", *windows} <= set(commands(WORKFLOWS["test"]))
    assert "make book" in commands(WORKFLOWS["publish"])
    index = re.findall(r"export PIP_EXTRA_INDEX_URL=(\S+)", readme)
    assert [WORKFLOWS["test"]["env"]["PIP_EXTRA_INDEX_URL"]] == index


def test_the_oldest_versions_that_are_promised_are_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (torch,) = (need for need in project["dependencies"] if need.startswith("torch"))
    oldest, newest = WORKFLOWS["test"]["jobs"]["package"]["strategy"]["matrix"]["include"]
    assert f">={oldest['python']}" == project["requires-python"]
    assert oldest["torch"] == torch.replace(">=", "==") + ".*"
    assert newest["torch"] == "torch"


@every_workflow
def test_actions_are_pinned_and_leave_no_token_behind(name: str) -> None:
    used = [step for step in steps(WORKFLOWS[name]) if "uses" in step]
    assert used
    for step in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
        if "checkout" in step["uses"]:
            assert step["with"]["persist-credentials"] is False


@every_workflow
def test_only_the_job_that_publishes_may_write(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for title, job in workflow["jobs"].items():
        allowed = {"pages": "write", "id-token": "write"} if title == "deploy" else None
        assert job.get("permissions") in (allowed, {"contents": "read"})
