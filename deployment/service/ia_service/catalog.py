"""The pipelines that this release offers: JSON graphs in the library's own format, kept in ``graphs/``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ia_modules.pipeline.graph_pipeline_runner import PipelineConfig

from ia_service.settings import GRAPHS


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A graph and its name."""

    id: str
    graph: Mapping[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return what the list of pipelines shows."""
        return {
            "id": self.id,
            "description": self.graph["description"],
            "version": self.graph["version"],
            "steps": [step["id"] for step in self.graph["steps"]],
            "example_input": self.graph["metadata"]["example"],
        }


def load_pipelines(folder: Path = GRAPHS) -> Mapping[str, Pipeline]:
    """Return all pipelines by id, each checked by the library's own model."""
    pipelines = {}
    for file in sorted(folder.glob("*.json")):
        graph = json.loads(file.read_text(encoding="utf-8"))
        PipelineConfig(**graph)
        pipelines[file.stem] = Pipeline(file.stem, graph)
    return pipelines
