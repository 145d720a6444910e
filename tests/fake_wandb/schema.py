"""GraphQL of the fake server: users, projects, runs; artifacts are beside it."""

import json
from typing import Any

from tests.fake_wandb.artifact_schema import TIME, ArtifactSchema, as_edges, as_project
from tests.fake_wandb.state import Run, State


class Schema:
    """The roots of queries and mutations over a `State`."""

    def __init__(self, state: State, storage_url: str, default_entity: str):
        self._state, self._storage, self._entity = state, storage_url, default_entity
        self._artifacts = ArtifactSchema(state, storage_url)
        self.query = {
            "viewer": self._viewer(),
            "serverInfo": {"features": [], "cliVersionInfo": {"max_cli_version": "99"}},
            "model": self._project,
            "project": self._project,
            "entity": lambda name="": {"name": name or self._entity, "id": name, "organization": None},
            **self._artifacts.query,
        }
        self.mutation = {
            "upsertBucket": self._upsert_run,
            "createRunFiles": self._create_run_files,
            "markRunFilesUploaded": lambda input: {"success": True},
            **self._artifacts.mutation,
            "stopRun": self._stop,
        }

    def _viewer(self) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": self._entity}}]}
        names = {"id": "user", "name": "Tester", "username": "tester", "email": "tester@example.com"}
        return {**names, "entity": self._entity, "flags": "{}", "teams": teams, "admin": False}

    def _project(self, name: str | None = None, entityName: str | None = None) -> dict[str, Any]:
        entity, project = entityName or self._entity, name or "uncategorized"

        def run(name: str) -> dict[str, Any] | None:
            found = self._state.runs.get((entity, project, name))
            return found and self._run(found)

        def resumed(name: str, missingOk: bool) -> dict[str, Any] | None:
            if (entity, project, name) in self._state.runs:
                self._state.runs[entity, project, name].resume_count += 1
            return run(name)

        return {
            "__typename": "Project",
            **as_project(entity, project),
            "entityName": entity,
            "createdAt": TIME,
            "bucket": resumed,
            "run": run,
            **self._artifacts.of_project(entity, project),
        }

    def _run(self, run: Run) -> dict[str, Any]:
        used = [self._state.version(id) for id in self._state.used.get((run.entity, run.project, run.run_id), [])]
        return {
            "__typename": "Run",
            "id": run.id,
            "name": run.run_id,
            "displayName": run.display_name,
            "config": json.dumps(run.config),
            "summaryMetrics": json.dumps(run.summary),
            "tags": run.tags,
            "group": run.group,
            "jobType": run.job_type,
            "notes": run.notes,
            "project": as_project(run.entity, run.project),
            "state": "stopping" if run.is_stopped else "finished" if run.is_finished else "running",
            "stopped": run.is_stopped,
            "projectId": "1",
            "createdAt": TIME,
            "heartbeatAt": TIME,
            "user": self._viewer(),
            "historyKeys": {"lastStep": run.history[-1]["_step"]} if run.history else None,
            "historyLineCount": len(run.history),
            "eventsLineCount": len(run.events),
            "logLineCount": len(run.output),
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": json.dumps([json.dumps(row) for row in run.events[-1:]]),
            "wandbConfig": json.dumps({"t": 1}),
            "inputArtifacts": lambda **page: as_edges([self._artifacts.artifact(version) for version in used]),
        }

    def _upsert_run(self, input: dict[str, Any]) -> dict[str, Any]:
        key = (input.get("entityName") or self._entity, input.get("modelName") or "uncategorized", input["name"])
        is_new = key not in self._state.runs
        run = self._state.runs.setdefault(key, Run(*key, display_name=input["name"]))
        fields = {"displayName": "display_name", "groupName": "group", "jobType": "job_type"}
        for name in ("displayName", "groupName", "jobType", "tags", "notes"):
            if input.get(name) is not None:
                setattr(run, fields.get(name, name), input[name])
        if input.get("config"):
            run.config = json.loads(input["config"])
        if input.get("summaryMetrics"):
            run.summary = json.loads(input["summaryMetrics"])
        return {"bucket": self._run(run), "inserted": is_new}

    def _stop(self, input: dict[str, Any]) -> dict[str, Any]:
        for run in self._state.runs.values():
            run.is_stopped |= run.id == input["id"]
        return {"success": True}

    def _create_run_files(self, input: dict[str, Any]) -> dict[str, Any]:
        where = f"{self._storage}/run/{input['entityName']}/{input['projectName']}/{input['runName']}"
        files = [{"name": name, "uploadUrl": f"{where}/{name}"} for name in input["files"]]
        return {"runID": input["runName"], "uploadHeaders": [], "files": files}
