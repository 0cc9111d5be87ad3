// Mostly cheap reads, and some executions, at a steady rate through the load balancer. Run by k6:
//   k6 run deployment/load/reads.js
// API_URL     where to send it
// RATE        requests a second (default 400)
// EXECUTIONS  executions a second among them (default 40)
// DURATION    how long (default 60s); an interrupt (Ctrl-C, kill -INT) ends it earlier and still prints the result
// Prints one line: <n> requests, <n> failed, p95 <ms> ms; what failed, and why, is on standard error
import http from "k6/http";
import { logFailed } from "./failures.js";

const rate = Number(__ENV.RATE || 400);
const executions = Number(__ENV.EXECUTIONS || 40);
const duration = __ENV.DURATION || "60s";

function steady(exec, perSecond) {
  return {
    executor: "constant-arrival-rate",
    exec: exec,
    rate: perSecond,
    timeUnit: "1s",
    duration: duration,
    preAllocatedVUs: 20,
    maxVUs: 200,
    gracefulStop: "10s",
  };
}

export const options = {
  scenarios: { reads: steady("read", rate - executions), executions: steady("run", executions) },
};

export function read() {
  logFailed("read", http.get(`${__ENV.API_URL}/version`));
}

export function run() {
  const order = { pipeline: "transform", input: { text: "one two three" } };
  const headers = { "Content-Type": "application/json" };
  logFailed("execution", http.post(`${__ENV.API_URL}/api/execute/pipeline`, JSON.stringify(order), { headers }));
}

export function handleSummary(data) {
  const { http_reqs, http_req_failed, http_req_duration } = data.metrics;
  const requests = http_reqs ? http_reqs.values.count : 0;
  // a rate metric: `passes` counts the samples that are true, here the requests that failed
  const failed = http_req_failed ? http_req_failed.values.passes : 0;
  const p95 = http_req_duration ? http_req_duration.values["p(95)"] : 0;
  return { stdout: `${requests} requests, ${failed} failed, p95 ${p95.toFixed(1)} ms\n` };
}
