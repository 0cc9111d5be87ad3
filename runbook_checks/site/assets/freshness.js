// The site is as old as its build. This makes what has expired since then say so, and tells how long ago things were.
(() => {
  "use strict";
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

  function ago(date, now) {
    const seconds = (now - date) / 1000;
    if (!(seconds >= 60)) return "just now";
    const [unit, length] = UNITS.find(([, size]) => seconds >= size);
    return new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(-Math.floor(seconds / length), unit);
  }

  function refresh() {
    const now = Date.now();
    for (const element of document.querySelectorAll('[data-rb-status="verified"][data-expires-at]')) {
      if (now < Date.parse(element.dataset.expiresAt)) continue;
      element.dataset.rbStatus = "expired";
      const word = element.matches(".rb-badge") && element.querySelector(".rb-word");
      if (word) word.textContent = "expired";
      const reason = element.querySelector(".rb-reason--expired");
      if (reason) reason.hidden = false;
    }
    for (const time of document.querySelectorAll(".rb-badge > time, .rb-evidence time")) {
      const date = Date.parse(time.dateTime);
      if (Number.isNaN(date)) continue;
      time.title = date > now ? time.dateTime : ago(date, now);
    }
    for (const time of document.querySelectorAll(".rb-state time, .rb-newest time, :is(.rb-status, .rb-attention) .rb-badge time")) {
      const told = ago(Date.parse(time.dateTime), now);
      const span = time.parentElement.querySelector(".rb-ago") || document.createElement("span");
      span.className = "rb-ago";
      span.textContent = ` (${told})`;
      time.after(span);
    }
    document.dispatchEvent(new Event("rb-refreshed"));
  }

  // Material's instant navigation swaps pages without loading them.
  if (window.document$ && window.document$.subscribe) window.document$.subscribe(refresh);
  else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", refresh);
  else refresh();
  setInterval(refresh, 60000);
})();
