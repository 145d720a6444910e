"""GraphQL of the fake server: artifacts, their versions, files and aliases."""

import base64
import json
from typing import Any

from tests.fake_wandb.state import ArtifactVersion, State

TIME = "2026-01-01T00:00:00Z"
_LAST_PAGE = {"__typename": "PageInfo", "hasNextPage": False, "endCursor": None}


class ArtifactSchema:
    """Queries and mutations of artifacts over a `State`; uploads and downloads go to `storage_url`."""

    def __init__(self, state: State, storage_url: str):
        self._state, self._storage = state, storage_url
        self.query = {
            "artifact": lambda id: self.artifact(self._state.version(id)),
            "clientIDMapping": lambda clientID: {"serverID": self._state.version(clientID).id},
        }
        self.mutation = {
            "createArtifact": self._create_artifact,
            "createArtifactManifest": self._create_manifest,
            "updateArtifactManifest": self._update_manifest,
            "createArtifactFiles": self._create_artifact_files,
            "commitArtifact": self._commit,
            "useArtifact": self._use,
            "addAliases": self._add_aliases,
            "deleteAliases": self._delete_aliases,
            "updateArtifact": self._update_artifact,
        }

    def of_project(self, entity: str, project: str) -> dict[str, Any]:
        """The fields of a `Project` that have to do with artifacts."""

        def membership(name: str) -> dict[str, Any] | None:
            found = self._state.find(entity, project, name)
            return found and self._membership(found)

        def collection(name: str) -> dict[str, Any] | None:
            versions = self._state.artifacts.get((entity, project, name))
            return self._collection(versions[-1]) if versions else None

        return {
            "artifactCollectionMembership": membership,
            "artifact": lambda name: (membership(name) or {}).get("artifact"),
            "artifactCollection": collection,
            "artifactType": lambda name: {"id": name, "name": name, "artifactCollection": collection},
        }

    def _create_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        (name,) = input.get("artifactCollectionNames") or [input["artifactCollectionName"]]
        versions = self._state.artifacts.setdefault((input["entityName"], input["projectName"], name), [])
        same = [version for version in versions if version.digest == input["digest"]]
        version = same[0] if same else self._new_version(input, name, versions)
        version.wanted_aliases = [alias["alias"] for alias in input.get("aliases") or []]
        if version.state == "COMMITTED":
            self._apply_aliases(version)
        return {"artifact": self.artifact(version)}

    def _new_version(self, input: dict[str, Any], name: str, versions: list[ArtifactVersion]) -> ArtifactVersion:
        number = sum(map(len, self._state.artifacts.values()))
        version = ArtifactVersion(
            id=base64.b64encode(f"Artifact:{number}".encode()).decode(),
            entity=input["entityName"],
            project=input["projectName"],
            name=name,
            version=len(versions),
            type=input["artifactTypeName"],
            digest=input["digest"],
            metadata=json.loads(input.get("metadata") or "{}"),
            description=input.get("description") or "",
            client_id=input.get("clientID") or "",
            logged_by=input.get("runName") or "",
        )
        versions.append(version)
        return version

    def _create_manifest(self, input: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._storage}/manifest/{input['artifactID']}"
        file = {"id": input["artifactID"], "uploadUrl": url, "uploadHeaders": []}
        return {"artifactManifest": {"id": input["artifactID"], "file": file}}

    def _update_manifest(self, input: dict[str, Any]) -> dict[str, Any]:
        return self._create_manifest({"artifactID": input["artifactManifestID"]})

    def _create_artifact_files(self, input: dict[str, Any]) -> dict[str, Any]:
        nodes = []
        for file in input["artifactFiles"]:
            path = f"artifact/{file['artifactID']}/{file['name']}"
            known = {"storagePath": path, "uploadUrl": f"{self._storage}/{path}", "uploadHeaders": []}
            nodes.append({**known, "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}})
        return {"files": as_edges(nodes)}

    def _commit(self, input: dict[str, Any]) -> dict[str, Any]:
        version = self._state.version(input["artifactID"])
        version.state = "COMMITTED"
        self._apply_aliases(version)
        return {"artifact": self.artifact(version)}

    def _apply_aliases(self, version: ArtifactVersion) -> None:
        """Give a version the aliases that it was logged with; each leaves the version that had it."""
        for other in self._state.artifacts[version.entity, version.project, version.name]:
            other.aliases = [alias for alias in other.aliases if alias not in version.wanted_aliases]
        version.aliases += version.wanted_aliases

    def _use(self, input: dict[str, Any]) -> dict[str, Any]:
        version = self._state.version(input["artifactID"])
        used = self._state.used.setdefault((input["entityName"], input["projectName"], input["runName"]), [])
        if version.id not in used:
            used.append(version.id)
        return {"artifact": self.artifact(version)}

    def _add_aliases(self, input: dict[str, Any]) -> dict[str, Any]:
        version = self._state.version(input["artifactID"])
        version.wanted_aliases = [alias["alias"] for alias in input["aliases"]]
        self._apply_aliases(version)
        return {"success": True}

    def _delete_aliases(self, input: dict[str, Any]) -> dict[str, Any]:
        version = self._state.version(input["artifactID"])
        gone = {alias["alias"] for alias in input["aliases"]}
        version.aliases = [alias for alias in version.aliases if alias not in gone]
        return {"success": True}

    def _update_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        version = self._state.version(input["artifactID"])
        if input.get("metadata") is not None:
            version.metadata = json.loads(input["metadata"])
        if input.get("description") is not None:
            version.description = input["description"]
        return {"artifact": self.artifact(version)}

    def _membership(self, version: ArtifactVersion) -> dict[str, Any]:
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": version.id,
            "versionIndex": version.version,
            "createdAt": TIME,
            "aliases": self._aliases(version),
            "artifactCollection": self._collection(version),
            "artifact": self.artifact(version),
        }

    def _collection(self, version: ArtifactVersion) -> dict[str, Any]:
        named = {"__typename": "ArtifactSequence", "id": f"{version.project}/{version.name}", "name": version.name}

        def latest() -> dict[str, Any]:
            return self.artifact(self._state.artifacts[version.entity, version.project, version.name][-1])

        def membership(aliasName: str) -> dict[str, Any] | None:
            found = self._state.find(version.entity, version.project, f"{version.name}:{aliasName}")
            return found and {**self._membership(found), "files": lambda **page: self._files(found)}

        return {
            **named,
            "project": as_project(version.entity, version.project),
            "type": {"name": version.type},
            "defaultArtifactType": {"name": version.type},
            "digestAlgorithm": "MANIFEST_MD5",
            "latestArtifact": latest,
            "artifactMembership": membership,
        }

    def _aliases(self, version: ArtifactVersion) -> list[dict[str, Any]]:
        collection = self._collection(version)
        known = {"__typename": "ArtifactAlias", "artifactCollection": collection}
        return [{**known, "id": alias, "alias": alias} for alias in [*version.aliases, f"v{version.version}"]]

    def artifact(self, version: ArtifactVersion) -> dict[str, Any]:
        """An `Artifact` of GraphQL."""
        manifest = {"id": version.id, "file": {"directUrl": f"{self._storage}/manifest/{version.id}"}}
        contents = version.manifest.get("contents", {})
        return {
            "__typename": "Artifact",
            "id": version.id,
            "artifactSequence": self._collection(version),
            "versionIndex": version.version,
            "artifactType": {"name": version.type},
            "description": version.description,
            "metadata": json.dumps(version.metadata),
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "state": version.state,
            "size": sum(entry.get("size", 0) for entry in contents.values()),
            "digest": version.digest,
            "digestAlgorithm": "MANIFEST_MD5",
            "commitHash": version.id,
            "fileCount": len(contents),
            "createdAt": TIME,
            "updatedAt": TIME,
            "aliases": lambda: self._aliases(version),
            "currentManifest": manifest,
            "files": lambda **page: self._files(version),
            "filesByManifestEntries": lambda **page: self._files(version),
        }

    def _files(self, version: ArtifactVersion) -> dict[str, Any]:
        nodes = []
        for path, entry in version.manifest["contents"].items():
            url = f"{self._storage}/blob/{base64.b64decode(entry['digest']).hex()}"
            nodes.append({"__typename": "File", "id": path, "name": path, "displayName": path, "directUrl": url})
        return as_edges(nodes)


def as_project(entity: str, project: str) -> dict[str, Any]:
    """A `Project` of GraphQL, as it stands within other types."""
    known = {"id": f"{entity}/{project}", "internalId": f"{entity}/{project}", "name": project}
    return {"__typename": "Project", **known, "entity": {"id": entity, "name": entity}}


def as_edges(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """All nodes as the one page of a connection."""
    return {"totalCount": len(nodes), "pageInfo": _LAST_PAGE, "edges": [{"node": node} for node in nodes]}
