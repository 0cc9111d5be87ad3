// One caller of the service that misbehaves: it executes one pipeline again and again, through the load balancer. Its request
// ids say who it is: <CALLER>-<a number that grows>. Run by k6:
//   CALLER=nightly-import PIPELINE=fail INPUT='{"fail": true}' k6 run deployment/load/caller.js
// API_URL     where to send it
// CALLER      who asks
// PIPELINE    what to execute (default transform)
// INPUT       with which input, JSON (default {"text": "one two three"})
// RATE        how often a second it orders (default 10)
// BURST       how many orders at once (default 1)
// RETRIES     how often an order that was refused is sent again, RETRY_S (default 0.1) apart, whatever Retry-After says (default 0)
// DURATION    how long (default 60s), at most
// HEEDS       the error code that tells its owner to stop it, as in {"error": "shed"}; it stops PATIENCE_S (default 0) after
//             the first one
// Prints one line: <n> requests, <n> refused
import exec from "k6/execution";
import http from "k6/http";
import { sleep } from "k6";

const rate = Number(__ENV.RATE || 10);
const burst = Number(__ENV.BURST || 1);
const retries = Number(__ENV.RETRIES || 0);
const order = JSON.stringify({
  pipeline: __ENV.PIPELINE || "transform",
  input: JSON.parse(__ENV.INPUT || '{"text": "one two three"}'),
});
let heardAt = 0;

export const options = {
  batch: burst,
  batchPerHost: burst,
  scenarios: {
    orders: {
      executor: "constant-arrival-rate",
      rate: rate,
      timeUnit: "1s",
      duration: __ENV.DURATION || "60s",
      preAllocatedVUs: rate,
      maxVUs: rate * 10,
      gracefulStop: "1s",
    },
  },
};

export default function () {
  const headers = { "Content-Type": "application/json" };
  let numbers = Array.from({ length: burst }, (_, i) => exec.scenario.iterationInTest * burst + i);
  for (let attempt = 0; attempt <= retries; attempt += 1) {
    const answers = http.batch(
      numbers.map((number) => ({
        method: "POST",
        url: `${__ENV.API_URL}/api/execute/pipeline`,
        body: order,
        params: { headers: { ...headers, "X-Request-ID": `${__ENV.CALLER}-${number}` } },
      })),
    );
    answers.filter(refused).forEach(heed);
    numbers = numbers.filter((_, i) => refused(answers[i]));
    if (numbers.length === 0) {
      return;
    }
    sleep(Number(__ENV.RETRY_S || 0.1));
  }
}

function refused(answer) {
  return answer.status < 200 || answer.status >= 300;
}

function heed(answer) {
  if (heardAt === 0 && __ENV.HEEDS && answer.body && answer.json("error") === __ENV.HEEDS) {
    heardAt = Date.now();
  }
  if (heardAt !== 0 && Date.now() - heardAt >= 1000 * Number(__ENV.PATIENCE_S || 0)) {
    exec.test.abort(`told ${__ENV.HEEDS}`);
  }
}

export function handleSummary(data) {
  const { http_reqs, http_req_failed } = data.metrics;
  const requests = http_reqs ? http_reqs.values.count : 0;
  // a rate metric: `passes` counts the samples that are true, here the requests that failed
  const failed = http_req_failed ? http_req_failed.values.passes : 0;
  return { stdout: `${requests} requests, ${failed} refused\n` };
}
