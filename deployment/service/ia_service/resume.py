"""The library's ``resume``, brought to do what its ``run`` would have done: a part of the seam that is ``library.py``.

As it stands it tracks no step, hands a step nothing but the result of the one before, and goes through all steps in the
order of the paths, whatever the conditions, fan-outs and loops say. So it is given steps that are tracked and whose
results add up, and it is called for one step at a time: the one that ``run`` would have taken.
"""

from __future__ import annotations

from typing import Any

from ia_modules.pipeline.execution_tracker import StepStatus

_MAX_STEPS = 100  # what the library's run allows


class ResumedStep:
    """A step that ``resume`` executes as ``run`` would."""

    def __init__(self, step: Any, execution_id: str, pipeline: Any, parent: Any, *, record_reliability: bool) -> None:
        """Wrap ``step`` of ``pipeline``, to be traced below the span ``parent``."""
        self._telemetry, self._pipeline, self._parent = pipeline.telemetry, pipeline.name, parent
        self._step = step
        self._execution_id = execution_id
        self._reliable = record_reliability

    async def execute_with_error_handling(self, data: dict[str, Any]) -> dict[str, Any]:
        """Execute and track the step, and return the data with its result added."""
        name = self._step.name
        tracker = self._step.services.get("execution_tracker")
        tracked = await tracker.start_step_execution(
            execution_id=self._execution_id, step_id=name, step_name=name, step_type="task", input_data=data
        )
        try:
            with self._telemetry.trace_step(self._pipeline, name, parent_span=self._parent):
                result = await self._step.execute_with_error_handling(data)
        except BaseException as error:
            await tracker.complete_step_execution(tracked, StepStatus.FAILED, error_message=str(error))
            await self._record_reliability(name, success=False)
            raise
        await tracker.complete_step_execution(tracked, StepStatus.COMPLETED, output_data=result)
        await self._record_reliability(name, success=True)
        return {**data, **result, name: result}

    async def _record_reliability(self, name: str, *, success: bool) -> None:
        if self._reliable:
            await self._step.services.get("reliability_metrics").record_step(agent=name, success=success)


async def resume_pipeline(
    pipeline: Any,
    execution_id: str,
    input_data: dict[str, Any],
    steps: list[dict[str, Any]],
    *,
    record_reliability: bool,
) -> dict[str, Any]:
    """Go on from the newest checkpoint, in which ``steps`` are done, and return what ``run`` would have returned."""
    with pipeline.telemetry.trace_pipeline(pipeline.name, input_data) as traced:
        pipeline.step_map = {
            name: ResumedStep(step, execution_id, pipeline, traced.span, record_reliability=record_reliability)
            for name, step in pipeline.step_map.items()
        }
        while True:
            following = _following_step(pipeline, input_data, steps)
            if len(steps) >= _MAX_STEPS and following:
                raise RuntimeError(f"Pipeline exceeded maximum steps ({_MAX_STEPS}), possible infinite loop")
            path = [*(step["step_name"] for step in steps), *following]
            pipeline._build_execution_path = lambda path=path: path  # noqa: SLF001
            result: dict[str, Any] = await pipeline.resume(execution_id)
            if not following:
                return result
            steps = result["steps"]


def _following_step(pipeline: Any, input_data: dict[str, Any], steps: list[dict[str, Any]]) -> list[str]:
    """Return the step that ``run`` takes after ``steps``, or nothing at the end: it goes through them once more."""
    data, waiting = dict(input_data), [pipeline.flow["start_at"]]
    for step in steps:
        data = {**data, **step["result"], step["step_name"]: step["result"]}
        # Of a fan-out, all branches run before anything that follows one of them.
        waiting = waiting[1:] or pipeline._get_next_steps(step["step_name"], data)  # noqa: SLF001
    return [name for name in waiting[:1] if not name.startswith("end_")]
