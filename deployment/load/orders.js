// Orders at a steady rate through the load balancer, while some of them may be turned away there. Run by k6:
//   k6 run deployment/load/orders.js
// API_URL     where to send them
// RATE        orders a second (default 20)
// DURATION    how long (default 5s)
// PIPELINE    what to execute (default transform); `slow` takes SECONDS (default 1) each
// WAIT_S      how long a client waits for its result (default 0: it does not)
// Prints one line: <n> accepted, p95 <ms> ms, <n> turned away, <n> failed
// The 95th percentile is that of the accepted ones. Turned away is a 503 that says `shed` or `busy`; failed is all else, and
// on standard error.
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";
import { log } from "./failures.js";

const accepted = new Counter("accepted");
const turnedAway = new Counter("turned_away");
const failed = new Counter("failed");
const took = new Trend("took");

export const options = {
  scenarios: {
    orders: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 20),
      timeUnit: "1s",
      duration: __ENV.DURATION || "5s",
      preAllocatedVUs: 20,
      maxVUs: 200,
      gracefulStop: "15s",
    },
  },
};

const order = JSON.stringify({
  pipeline: __ENV.PIPELINE || "transform",
  input: { text: "one two three", seconds: Number(__ENV.SECONDS || 1) },
  wait_s: Number(__ENV.WAIT_S || 0),
});

export default function () {
  const answer = http.post(`${__ENV.API_URL}/api/execute/pipeline`, order, {
    headers: { "Content-Type": "application/json" },
  });
  if (answer.status === 202 || (answer.status === 200 && answer.json("status") === "completed")) {
    accepted.add(1);
    took.add(answer.timings.duration);
  } else if (answer.status === 503 && ["shed", "busy"].includes(answer.json("error"))) {
    turnedAway.add(1);
  } else {
    failed.add(1);
    log("order", answer);
  }
}

export function handleSummary(data) {
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const p95 = data.metrics.took ? data.metrics.took.values["p(95)"] : 0;
  const line = `${count("accepted")} accepted, p95 ${p95.toFixed(1)} ms, ${count("turned_away")} turned away, ${count("failed")} failed`;
  return { stdout: `${line}\n` };
}
