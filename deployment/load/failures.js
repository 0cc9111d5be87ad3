// What a load logs of requests that failed, on standard error, so that a count of failures can be explained afterwards.
// k6 shares nothing between its virtual users: each logs at most MOST, and says so when it stops there.
const MOST = 5;

let logged = 0;

export function failed(answer) {
  // what k6 counts in http_req_failed; status 0 is a request without an answer
  return answer.status < 200 || answer.status >= 400;
}

export function log(what, answer) {
  logged += 1;
  if (logged <= MOST) {
    // as it came: k6 may have kept no body, and an answer of the load balancer's own names no replica
    const replica = answer.headers["X-Replica"] || "none";
    const said = String(answer.body || "").slice(0, 200).trim();
    const sent = new Date(Date.now() - answer.timings.duration).toISOString();
    console.error(
      `${what}: ${answer.status} ${answer.error} replica ${replica}, sent ${sent}, ` +
        `took ${answer.timings.duration.toFixed(1)} ms: ${said}${logged === MOST ? " (no more of this user)" : ""}`,
    );
  }
}

export function logFailed(what, answer) {
  if (failed(answer)) {
    log(what, answer);
  }
  return answer;
}
