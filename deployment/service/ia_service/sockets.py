"""The WebSockets on which updates of executions are sent."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from ia_service.answers import error_body, execution_body, may_see
from ia_service.caller import Caller
from ia_service.errors import ServiceError
from ia_service.live import about
from ia_service.replica import Replica

router = APIRouter()


@router.websocket("/ws/executions")
async def live_executions(socket: WebSocket) -> None:
    """Send every update of every execution of all replicas, but of other people's."""
    await _send_updates(socket, None)


@router.websocket("/ws/executions/{job}")
async def live_execution(socket: WebSocket, job: str) -> None:
    """Send the state of one execution, then its updates."""
    await _send_updates(socket, job)


async def _send_updates(socket: WebSocket, job: str | None) -> None:
    replica: Replica = socket.app.state.replica
    caller: Caller | None = socket.state.caller
    with replica.live.subscribe() as updates:
        await socket.accept()
        if job is not None:
            try:
                state = await run_in_threadpool(execution_body, replica, job, caller)
            except ServiceError as error:
                await socket.send_json({"type": "error", "data": error_body(error.code, str(error))})
                await socket.close(1011 if error.status >= 500 else 1008)  # noqa: PLR2004  # server error
                return
            await socket.send_json({"type": "snapshot", "data": state})
        # Reading is the only way to learn that the client has gone.
        leaving = asyncio.create_task(_until_gone(socket))
        try:
            while not leaving.done():
                update = asyncio.create_task(updates.get())
                await asyncio.wait((leaving, update), return_when=asyncio.FIRST_COMPLETED)
                if not update.done():
                    update.cancel()
                    break
                found = about(update.result())
                if job in {None, found.execution_id} and may_see(found.owner, caller):
                    await socket.send_text(update.result())
        except WebSocketDisconnect:
            return
        finally:
            leaving.cancel()


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
