// Executions through the load balancer in one of three shapes, and what came of them. Run by k6:
//   k6 run --quiet --address '' --env SHAPE=steady deployment/load/measure.js
// API_URL   where to send it
// SHAPE     burst:  COUNT executions at the same moment (default 100)
//           steady: RATE executions a second (default 10), whatever the answers take, for DURATION (default 60s)
//           flood:  CLIENTS (default 8) that each start the next execution when the last one has ended, for DURATION
// PIPELINE  what to execute (default transform); SECONDS is how long `slow` takes (default 1)
// READS     how often the status of each execution is asked for afterwards (default 0)
// Every execution is waited for, at most 30 s; what is not completed by then has failed. The input says which run it
// belongs to, so that the database can be asked too. Prints:
//   run <id>: <n> executions, <n> failed, <n> not sent, in <s> s
//   executions: p50 <ms> ms, p95 <ms> ms, p99 <ms> ms
//   <n> reads: <n> failed, p99 <ms> ms
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";

const env = __ENV;
const shape = env.SHAPE || "steady";
const duration = env.DURATION || "60s";
const rate = Number(env.RATE || 10);
const reads = Number(env.READS || 0);
const headers = { "Content-Type": "application/json" };

const shapes = {
  burst: { executor: "per-vu-iterations", vus: Number(env.COUNT || 100), iterations: 1, maxDuration: "60s" },
  steady: {
    executor: "constant-arrival-rate",
    rate: rate,
    timeUnit: "1s",
    duration: duration,
    preAllocatedVUs: rate * 2,
    maxVUs: rate * 20,
    gracefulStop: "35s",
  },
  flood: { executor: "constant-vus", vus: Number(env.CLIENTS || 8), duration: duration, gracefulStop: "35s" },
};
if (!shapes[shape]) {
  throw new Error(`SHAPE is ${shape}; expected one of ${Object.keys(shapes).join(", ")}`);
}

export const options = {
  scenarios: { [shape]: shapes[shape] },
  summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
};

const executed = new Counter("executed");
const executionFailed = new Counter("execution_failed");
const executionTime = new Trend("execution_time", true);
const read = new Counter("read");
const readFailed = new Counter("read_failed");
const readTime = new Trend("read_time", true);
const ended = new Trend("ended", true); // since the run began; its maximum is how long the run took

export function setup() {
  const began = Date.now();
  return { run: `${shape}-${began.toString(36)}`, began: began };
}

export default function ({ run, began }) {
  const input = { text: "one two three", values: [1, 2, 4], seconds: Number(env.SECONDS || 1), load: run };
  const order = { pipeline: env.PIPELINE || "transform", input: input, wait_s: 30 };
  const answer = http.post(`${env.API_URL}/api/execute/pipeline`, JSON.stringify(order), { headers });
  executed.add(1);
  executionTime.add(answer.timings.duration);
  ended.add(Date.now() - began);
  const job = answer.status === 200 ? answer.json() : {};
  if (job.status !== "completed") {
    executionFailed.add(1);
    console.error(`not completed: ${answer.status} ${answer.error} ${String(answer.body).slice(0, 200)}`);
    return;
  }
  for (let i = 0; i < reads; i++) {
    const status = http.get(`${env.API_URL}/api/execute/status/${job.job_id}`, { tags: { name: "status" } });
    read.add(1);
    readTime.add(status.timings.duration);
    if (status.status !== 200 || status.json("status") !== "completed") {
      readFailed.add(1);
      console.error(`not read: ${status.status} ${status.error} ${String(status.body).slice(0, 200)}`);
    }
  }
}

export function handleSummary(data) {
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const ms = (name, stat) => (data.metrics[name] ? data.metrics[name].values[stat].toFixed(1) : "none");
  const seconds = data.metrics.ended ? data.metrics.ended.values.max / 1000 : 0;
  const lines = [
    `run ${data.setup_data.run}: ${count("executed")} executions, ${count("execution_failed")} failed, ` +
      `${count("dropped_iterations")} not sent, in ${seconds.toFixed(1)} s`,
    `executions: p50 ${ms("execution_time", "med")} ms, p95 ${ms("execution_time", "p(95)")} ms, ` +
      `p99 ${ms("execution_time", "p(99)")} ms`,
  ];
  if (reads) {
    lines.push(`${count("read")} reads: ${count("read_failed")} failed, p99 ${ms("read_time", "p(99)")} ms`);
  }
  return { stdout: lines.join("\n") + "\n" };
}
