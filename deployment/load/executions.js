// Steady load: executions of one pipeline through the load balancer, and reads of their status. Run by k6:
//   k6 run deployment/load/executions.js
// API_URL     where to send it
// RATE        executions a second (default 20), each followed by one read
// DURATION    how long (default 60s); an interrupt (Ctrl-C, kill -INT) ends it earlier and still prints the result
// PIPELINE    what to execute (default transform)
// Prints one line: <n> requests, <n> failed, p95 <ms> ms; what failed, and why, is on standard error
import http from "k6/http";
import { logFailed } from "./failures.js";

const rate = Number(__ENV.RATE || 20);

export const options = {
  discardResponseBodies: false,
  scenarios: {
    executions: {
      executor: "constant-arrival-rate",
      rate: rate,
      timeUnit: "1s",
      duration: __ENV.DURATION || "60s",
      preAllocatedVUs: rate,
      maxVUs: rate * 10,
      gracefulStop: "30s",
    },
  },
};

export default function () {
  const order = { pipeline: __ENV.PIPELINE || "transform", input: { text: "one two three" } };
  const headers = { "Content-Type": "application/json" };
  const url = `${__ENV.API_URL}/api/execute/pipeline`;
  const started = logFailed("execution", http.post(url, JSON.stringify(order), { headers }));
  if (started.status >= 200 && started.status < 300) {
    const status = `${__ENV.API_URL}/api/execute/status/${started.json("job_id")}`;
    logFailed("status", http.get(status, { tags: { name: "status" } }));
  }
}

export function handleSummary(data) {
  const { http_reqs, http_req_failed, http_req_duration } = data.metrics;
  const requests = http_reqs ? http_reqs.values.count : 0;
  // a rate metric: `passes` counts the samples that are true, here the requests that failed
  const failed = http_req_failed ? http_req_failed.values.passes : 0;
  const p95 = http_req_duration ? http_req_duration.values["p(95)"] : 0;
  return { stdout: `${requests} requests, ${failed} failed, p95 ${p95.toFixed(1)} ms\n` };
}
