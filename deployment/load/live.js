// Live updates between replicas: listens on one, executes on another, and waits for the update. Run by k6:
//   k6 run --quiet --address '' deployment/load/live.js
// LISTEN_URL, EXECUTE_URL   two replicas; what is executed on the one reaches the other only through Redis
// Executes again every half second until an update comes, as replicas reconnect by themselves.
// Prints one line: <n> updates within <ms> ms; exits with 99 when none came within 15 s
import http from "k6/http";
import ws from "k6/ws";
import { Counter, Trend } from "k6/metrics";
import { failed, log } from "./failures.js";

const updates = new Counter("updates");
const first = new Trend("first_update_ms");

export const options = { vus: 1, iterations: 1, thresholds: { updates: ["count>0"] } };

export default function () {
  const listen = `${__ENV.LISTEN_URL.replace("http", "ws")}/ws/executions`;
  ws.connect(listen, (socket) => {
    const jobs = [];
    const begun = Date.now();
    const execute = () => {
      const order = { pipeline: "transform", input: { text: "who hears this" } };
      const headers = { "Content-Type": "application/json" };
      const taken = http.post(`${__ENV.EXECUTE_URL}/api/execute/pipeline`, JSON.stringify(order), { headers });
      if (failed(taken)) {
        log("execution", taken);
      } else {
        jobs.push(taken.json("job_id"));
      }
    };
    socket.on("open", execute);
    socket.setInterval(execute, 500);
    socket.setTimeout(() => socket.close(), 15000);
    socket.on("message", (message) => {
      if (jobs.some((job) => message.includes(job))) {
        updates.add(1);
        first.add(Date.now() - begun);
        socket.close();
      }
    });
  });
}

export function handleSummary(data) {
  const count = data.metrics.updates ? data.metrics.updates.values.count : 0;
  const ms = data.metrics.first_update_ms ? data.metrics.first_update_ms.values.min : 15000;
  return { stdout: `${count} updates within ${ms.toFixed(0)} ms\n` };
}
