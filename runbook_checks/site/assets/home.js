// Tables that can be filtered, and an overview that counts again what has expired since the site was built.
(() => {
  "use strict";
  const URGENCY = ["failed", "blocked", "stale", "expired", "unverified", "verified"];
  const WAIT_MS = 250; // a word is typed before the address changes and the number of rows is read out
  const SEPARATOR = "|";

  const known = new WeakMap(); // form → function that applies it

  function visible(element, shown) {
    if (element) element.hidden = !shown;
  }

  // ---- the overview

  function recount(overview) {
    const items = [...overview.querySelectorAll(".rb-attention > li")];
    const counts = new Map(URGENCY.map((status) => [status, 0]));
    for (const item of items) counts.set(item.dataset.rbStatus, counts.get(item.dataset.rbStatus) + 1);
    for (const tile of overview.querySelectorAll(".rb-count")) {
      const count = counts.get(tile.dataset.rbStatus);
      tile.querySelector(".rb-number").textContent = String(count);
      tile.toggleAttribute("data-rb-zero", !count);
    }
    const attention = items.length - counts.get("verified");
    visible(overview.querySelector(".rb-calm"), !attention);
    visible(overview.querySelector(".rb-alarm"), attention);
    if (items.length) list(overview, items, attention);
    const until = overview.querySelector(".rb-until");
    if (until) {
      const now = Date.now() / 1000;
      const moments = until.dataset.rbUntil.split(" ").filter(Boolean);
      until.textContent = String(moments.filter((moment) => now < Number(moment)).length);
    }
  }

  function list(overview, items, attention) {
    const most = Number(overview.dataset.rbMost);
    const more = overview.querySelector(".rb-more");
    const rank = (item) => URGENCY.indexOf(item.dataset.rbStatus);
    const order = [...items].sort((one, other) => rank(one) - rank(other));
    for (const item of order) visible(item, item.dataset.rbStatus !== "verified");
    const first = Math.min(most, attention);
    const lists = overview.querySelectorAll(".rb-attention");
    place(lists[0], order.slice(0, first));
    place(lists[1], order.slice(first));
    overview.querySelector(".rb-attention-count").textContent = String(attention);
    more.querySelector(".rb-more-count").textContent = String(attention - first);
    visible(more, attention > first);
  }

  // What is moved loses the focus, so that nothing is moved without need.
  function place(list, items) {
    if (items.some((item, number) => list.children[number] !== item)) list.append(...items);
  }

  // ---- filters

  // A table of one status: what has it now is shown, whatever had it when the site was built.
  function belongs(section, row) {
    return !section.dataset.rbOnly || section.dataset.rbOnly === row.dataset.rbStatus;
  }

  function ofOneStatus(section) {
    const rows = [...section.querySelectorAll(".rb-status > tbody > tr")];
    for (const row of rows) visible(row, belongs(section, row));
    const some = rows.some((row) => !row.hidden);
    visible(section.querySelector(".rb-status"), some);
    visible(section.querySelector(".rb-none"), !some);
  }

  function filterable(form, number) {
    const section = form.closest(".rb-list");
    const rows = [...section.querySelectorAll(".rb-status > tbody > tr")];
    // With several environments a procedure has several rows: each is a status.
    const [one, many] = section.querySelector(".rb-cell-environment") ? ["status", "statuses"] : ["procedure", "procedures"];
    let texts = []; // what expires while the page is read is found by that word
    const controls = [...form.querySelectorAll("input, select")];
    const key = (control) => (number ? `${control.name}-${number + 1}` : control.name);
    let waiting = 0;

    function fits(row, text) {
      return controls.every((control) => {
        const wanted = control.value.trim();
        if (!wanted) return true;
        if (control.name === "text") return wanted.toLowerCase().split(/\s+/).every((word) => text.includes(word));
        const has = row.dataset[`rb${control.name[0].toUpperCase()}${control.name.slice(1)}`] || "";
        return has.split(SEPARATOR).includes(wanted);
      });
    }

    function apply() {
      rows.forEach((row, place) => {
        row.hidden = !belongs(section, row) || !fits(row, texts[place]);
      });
      const shown = rows.filter((row) => !row.hidden).length;
      const filtered = controls.some((control) => control.value.trim());
      visible(section.querySelector(".rb-none"), !shown);
      visible(section.querySelector(".rb-status"), shown);
      visible(form.querySelector(".rb-reset"), filtered);
      const total = rows.filter((row) => belongs(section, row)).length;
      const all = `${total} ${total === 1 ? one : many}`;
      return filtered ? `${shown} of ${all}` : all;
    }

    function tell(told) {
      const count = section.querySelector(".rb-shown");
      if (count.textContent !== told) count.textContent = told;
    }

    function remember() {
      const url = new URL(location.href);
      for (const control of controls) {
        const value = control.value.trim();
        if (value) url.searchParams.set(key(control), value);
        else url.searchParams.delete(key(control));
      }
      if (url.href !== location.href) history.replaceState(history.state, "", url);
    }

    function changed() {
      const told = apply();
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        if (!form.isConnected) return; // another page by now
        tell(told);
        remember();
      }, WAIT_MS);
    }

    const query = new URLSearchParams(location.search);
    for (const control of controls) {
      control.value = query.get(key(control)) || "";
      if (control.selectedIndex === -1) control.value = "";
    }
    form.addEventListener("input", changed);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => {
      setTimeout(() => {
        changed();
        form.querySelector("input").focus();
      });
    });
    form.hidden = false;
    return () => {
      texts = rows.map((row) => [row.textContent, ...Object.values(row.dataset)].join(" ").toLowerCase());
      tell(apply());
    };
  }

  function refresh() {
    document.querySelectorAll(".rb-overview").forEach(recount);
    document.querySelectorAll(".rb-list[data-rb-only]").forEach(ofOneStatus);
    document.querySelectorAll(".rb-filter").forEach((form, number) => {
      if (!known.has(form)) known.set(form, filterable(form, number));
      known.get(form)();
    });
  }

  // freshness.js tells when it has looked what has expired, which it does on every page and every minute.
  document.addEventListener("rb-refreshed", refresh);
  if (document.readyState !== "loading") refresh();
})();
