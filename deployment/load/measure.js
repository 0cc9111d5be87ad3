// Executions through the load balancer in one of three shapes, and what came of them. Run by k6:
//   k6 run --quiet --address '' --env SHAPE=steady deployment/load/measure.js
// API_URL   where to send it
// SHAPE     burst:  COUNT executions at the same moment (default 100)
//           steady: RATE executions a second (default 10), whatever the answers take, for DURATION (default 60s)
//           flood:  CLIENTS (default 8) that each start the next execution when the last one has ended, for DURATION
// PIPELINE  what to execute (default transform); SECONDS is how long `slow` takes (default 1)
// WAIT_S    how long to wait for the end of each execution (default 30); 0 does not wait, and only counts what is taken
// READS     how often the status of each execution is asked for afterwards (default 0)
// An execution that is not completed, or with WAIT_S=0 not taken, has failed. The input says which run it belongs to, so
// that the database can be asked too, by result.sql. Prints:
//   run <id>: <n> executions, <n> failed (<percent> %), <n> not sent, <n> a minute for <s> s
//   executions: p50 <ms> ms, p95 <ms> ms, p99 <ms> ms
//   reads: <n>, <n> failed, p99 <ms> ms
// "Not sent": k6 could not keep up with the rate. What failed, and why, is on standard error.
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";
import { log } from "./failures.js";

const env = __ENV;
const shape = env.SHAPE || "steady";
const duration = env.DURATION || "60s";
const rate = Number(env.RATE || 10);
const reads = Number(env.READS || 0);
const wait_s = Number(env.WAIT_S || 30);
const headers = { "Content-Type": "application/json" };

const shapes = {
  burst: { executor: "per-vu-iterations", vus: Number(env.COUNT || 100), iterations: 1, maxDuration: "60s" },
  steady: {
    executor: "constant-arrival-rate",
    rate: rate,
    timeUnit: "1s",
    duration: duration,
    preAllocatedVUs: rate * 4,
    maxVUs: rate * 20,
    gracefulStop: "35s",
  },
  flood: { executor: "constant-vus", vus: Number(env.CLIENTS || 8), duration: duration, gracefulStop: "35s" },
};
if (!shapes[shape]) {
  throw new Error(`SHAPE is ${shape}; expected one of: ${Object.keys(shapes).join(", ")}`);
}

export const options = {
  scenarios: { [shape]: shapes[shape] },
  summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
};

const executed = new Counter("executed");
const executionFailed = new Counter("execution_failed");
const executionTime = new Trend("execution_time", true);
const readFailed = new Counter("read_failed");
const readTime = new Trend("read_time", true);
const readDone = new Counter("read_done");
const ended = new Trend("ended", true); // since the run began; its maximum is how long the run took

export function setup() {
  const began = Date.now();
  return { run: `${shape}-${began.toString(36)}`, began: began };
}

export default function ({ run, began }) {
  const input = { text: "one two three", values: [1, 2, 4], seconds: Number(env.SECONDS || 1), load: run };
  const order = { pipeline: env.PIPELINE || "transform", input: input, wait_s: wait_s };
  const answer = http.post(`${env.API_URL}/api/execute/pipeline`, JSON.stringify(order), { headers });
  executed.add(1);
  executionTime.add(answer.timings.duration);
  ended.add(Date.now() - began);
  const job = answer.status === 200 || answer.status === 202 ? answer.json() : {};
  if (job.status !== "completed" && !(wait_s === 0 && answer.status === 202)) {
    executionFailed.add(1);
    log("execution", answer);
    return;
  }
  for (let i = 0; i < reads; i++) {
    const status = http.get(`${env.API_URL}/api/execute/status/${job.job_id}`, { tags: { name: "status" } });
    readDone.add(1);
    readTime.add(status.timings.duration);
    if (status.status !== 200 || (wait_s > 0 && status.json("status") !== "completed")) {
      readFailed.add(1);
      log("read", status);
    }
  }
}

export function handleSummary(data) {
  const value = (name, stat) => (data.metrics[name] ? data.metrics[name].values[stat] : 0);
  const ms = (name, stat) => `${value(name, stat).toFixed(1)} ms`;
  const n = value("executed", "count");
  const failed = value("execution_failed", "count");
  const seconds = value("ended", "max") / 1000;
  const percent = n ? (100 * failed) / n : 100;
  const lines = [
    `run ${data.setup_data.run}: ${n} executions, ${failed} failed (${percent.toFixed(3)} %), ` +
      `${value("dropped_iterations", "count")} not sent, ` +
      `${(seconds ? (60 * n) / seconds : 0).toFixed(0)} a minute for ${seconds.toFixed(1)} s`,
    `executions: p50 ${ms("execution_time", "med")}, p95 ${ms("execution_time", "p(95)")}, ` +
      `p99 ${ms("execution_time", "p(99)")}`,
  ];
  if (reads) {
    lines.push(
      `reads: ${value("read_done", "count")}, ${value("read_failed", "count")} failed, p99 ${ms("read_time", "p(99)")}`,
    );
  }
  return { stdout: lines.join("\n") + "\n" };
}
