// The site is as old as its build. This makes what has expired since then say so, and tells how long ago things were.
(() => {
  "use strict";
  const SKEW_S = 300; // between the clock that ran and this one
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

  function ago(date, now) {
    const seconds = (now - date) / 1000;
    if (!(seconds >= -SKEW_S)) return ""; // this clock is wrong, or that one was: the date tells
    if (!(seconds >= 60)) return "just now";
    const [unit, length] = UNITS.find(([, size]) => seconds >= size);
    return new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(-Math.floor(seconds / length), unit);
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  function icon() {
    const made = element("span", "rb-icon", "");
    made.setAttribute("aria-hidden", "true");
    return made;
  }

  // What the top of a runbook page says: with each procedure that has expired since the build, it gets louder.
  // It speaks of the cards of its own page; a preview of a link may show those of another, or a banner without any.
  function warn(banner) {
    const page = banner.closest("article, main, [role=main]") || banner.parentElement;
    const links = () => [...banner.querySelectorAll("li a")];
    const named = new Set(links().map((link) => decodeURIComponent(link.hash)));
    for (const card of page.querySelectorAll(".rb-card[data-rb-title]")) {
      const first = card.querySelector(".rb-badge");
      if (!first || first.dataset.rbStatus !== "expired" || named.has(`#${card.dataset.rbCard}`)) continue;
      let item = banner.querySelector('li[data-rb-status="expired"]');
      if (!item) {
        const list = banner.querySelector("ul") || banner.appendChild(document.createElement("ul"));
        item = list.appendChild(document.createElement("li"));
        item.dataset.rbStatus = "expired";
        item.append(icon(), element("span", "rb-word", "expired"), ": ");
      } else {
        item.append(", ");
      }
      const link = element("a", "", card.dataset.rbTitle);
      link.href = `#${encodeURIComponent(card.dataset.rbCard)}`;
      item.append(link);
    }
    const count = links().length, total = Number(banner.dataset.rbTotal);
    if (count === 0 && banner.dataset.rbStatus === "verified") return;
    if (banner.dataset.rbStatus === "verified") banner.dataset.rbStatus = "expired";
    const which = total === 1 ? "The procedure of this page is"
      : `${count || "Some"} of ${total} procedures ${count === 1 ? "is" : "are"}`;
    banner.querySelector(".rb-says").replaceWith(
      element("strong", "rb-says", `${which} not proven as written${banner.dataset.rbWhere}`));
  }

  const due = (now) => [...document.querySelectorAll('[data-rb-status="verified"][data-expires-at]')]
    .filter((each) => !(now < Date.parse(each.dataset.expiresAt)));

  function refresh() {
    const now = Date.now();
    for (const each of due(now)) {
      each.dataset.rbStatus = "expired";
      const word = each.matches(".rb-badge") && each.querySelector(".rb-word");
      if (word) word.textContent = "expired";
      if (each.matches(".rb-figure")) each.append(" (expired)");
      for (const told of each.querySelectorAll(":scope > .rb-if-expired")) told.hidden = false;
    }
    for (const time of document.querySelectorAll(".rb-badge > time:not(.rb-when), time.rb-at")) {
      const date = Date.parse(time.dateTime);
      if (Number.isNaN(date)) continue;
      time.title = ago(date, now) || time.dateTime;
    }
    for (const time of document.querySelectorAll(":is(.rb-status, .rb-attention) .rb-badge > time")) {
      let told = time.parentElement.querySelector(":scope > .rb-ago");
      if (!told) time.after(told = element("span", "rb-ago", ""));
      told.textContent = ago(Date.parse(time.dateTime), now);
      told.title = time.textContent;
    }
    for (const excused of document.querySelectorAll("[data-rb-excused]")) {
      if (new Date(now).toISOString().slice(0, 10) <= excused.dataset.rbExcused) continue;
      excused.prepend(icon(), "Exception over: ");
      excused.className = "rb-gap";
      excused.removeAttribute("data-rb-excused");
    }
    document.querySelectorAll(".rb-banner").forEach(warn);
    for (const time of document.querySelectorAll("time.rb-when")) {
      const told = time.querySelector(".rb-ago") || element("span", "rb-ago", "");
      told.textContent = ago(Date.parse(time.dateTime), now);
      if (told.textContent) time.prepend(told);
      else told.remove();
    }
    document.dispatchEvent(new Event("rb-refreshed"));
  }

  // Material's instant navigation swaps pages without loading them; from file:// its document$ never speaks.
  if (window.document$ && window.document$.subscribe) window.document$.subscribe(refresh);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", refresh);
  else refresh();
  setInterval(refresh, 60000);
  // What a theme shows of another page, as in a preview of a link, is as old as that page.
  new MutationObserver((changes) => {
    if (changes.some((change) => change.addedNodes.length) && due(Date.now()).length) refresh();
  }).observe(document.documentElement, { childList: true, subtree: true });
  // A laptop that was asleep, a tab that was frozen, a page that comes back from the history: no minute of an old status.
  document.addEventListener("visibilitychange", refresh);
  addEventListener("pageshow", (event) => event.persisted && refresh());
})();
