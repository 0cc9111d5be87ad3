// What is done, and when: a tick per step, check and rollback, notes, and the timeline that comes of them.
(() => {
  "use strict";
  const rb = window.runbookChecks;
  const moment = (iso) => `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
  const make = (tag, set = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), set);
    element.append(...children);
    return element;
  };
  // Its title, or the sentence that the page says it with.
  function titleOf(block) {
    let before = block.previousElementSibling;
    while (before?.matches("p:empty")) before = before.previousElementSibling; // Markdown leaves one before a block with its output
    const told = block.querySelector(".rb-title") || (block.parentElement.tagName === "LI" && before?.tagName === "P" ? before : null);
    return told?.textContent?.trim().split(/[.:;]$|[.;]\s/)[0].replace(/\s+/g, " ").slice(0, 100) || block.id;
  }
  let bar, live;

  // {digest, ticks: {block id: moment}, notes: [[moment, text]]}
  function load(of, digest) {
    let state;
    try { state = JSON.parse(rb.read("localStorage", `t:${of}`)); } catch { state = null; }
    if (state?.digest === digest) return state;
    if (state) rb.keep("localStorage", `t:${of}`, "");
    return { digest, ticks: {}, notes: [], dropped: Boolean(state) };
  }
  function save(of) {
    const { digest, ticks, notes } = rb.page.ticks.get(of);
    const used = Object.keys(ticks).length || notes.length;
    rb.keep("localStorage", `t:${of}`, used ? JSON.stringify({ digest, ticks, notes }) : "");
  }

  function addTick(block) {
    const of = block.dataset.rbOf;
    const box = make("input", { type: "checkbox" }), time = make("time");
    box.setAttribute("aria-label", `Done: ${titleOf(block)}`);
    block.querySelector(".rb-label").prepend(make("label", { className: "rb-tick" }, time, box, "Done"));
    const refresh = () => {
      const at = rb.page.ticks.get(of).ticks[block.id];
      box.checked = Boolean(at);
      block.toggleAttribute("data-rb-ticked", Boolean(at));
      time.dateTime = at || "";
      time.textContent = at ? `${at.slice(11, 19)} UTC` : "";
      time.title = at ? moment(at) : "";
    };
    box.addEventListener("change", () => {
      const state = rb.page.ticks.get(of);
      if (box.checked) state.ticks[block.id] = new Date().toISOString();
      else delete state.ticks[block.id];
      state.dropped = false;
      save(of);
      rb.page.current = of;
      refreshAll();
    });
    rb.page.refreshers.push(refresh);
  }
  function refreshAll() {
    rb.page.refreshers.forEach((refresh) => refresh());
    tell();
  }

  const headingOf = (of) => document.getElementById(of.slice(of.indexOf("/") + 1));
  const nameOf = (of) => headingOf(of)?.firstChild?.textContent.trim() || of;
  const entries = (of) => {
    const { ticks, notes } = rb.page.ticks.get(of);
    return [
      ...rb.blocksOf(of).filter((block) => ticks[block.id])
        .map((block) => [ticks[block.id], `done: ${titleOf(block)}`]),
      ...notes.map(([at, text]) => [at, `note: ${text}`]),
    ].sort(([one], [other]) => (one < other ? -1 : Number(one > other)));
  };
  const escaped = (text) => text.replace(/[\\`*_[\]<>|#]/g, "\\$&");
  const codeSpan = (text) => {
    const ticks = "`".repeat(1 + Math.max(0, ...(text.match(/`+/g) || []).map((run) => run.length)));
    return ticks.length > 1 ? `${ticks} ${text} ${ticks}` : `\`${text}\``;
  };
  function timeline(of) {
    const address = new URL(location.href);
    address.search = "";
    address.hash = headingOf(of)?.id || "";
    const values = [...rb.namesOf(of)].map((name) => [name, rb.value(of, name)]).filter(([, value]) => value);
    const told = values.filter(([name, value]) => !rb.isSecret(name, value));
    return [
      `# Timeline: ${escaped(nameOf(of))}`, "", `Page: <${address}>`, "",
      ...(told.length ? [...told.map(([name, value]) => `- ${name}: ${codeSpan(value)}`), ""] : []),
      ...entries(of).map(([at, text]) => `- ${moment(at)} ${escaped(text)}`), "",
    ].join("\n");
  }

  let said;
  function say(text) {
    live.textContent = text;
    clearTimeout(said);
    said = setTimeout(() => { live.textContent = ""; }, 5000);
  }
  function makeBar() {
    const told = make("span", { className: "rb-bar-told" });
    const note = make("input", { type: "text", placeholder: "Add a note" });
    note.setAttribute("aria-label", "A note for the timeline");
    const form = make("form", {}, note, make("button", { type: "submit", textContent: "Add" }));
    const button = (text, act) => make("button", { type: "button", textContent: text, onclick: act });
    const current = () => rb.page.current;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = note.value.trim();
      if (!text) return;
      rb.page.ticks.get(current()).notes.push([new Date().toISOString(), text]);
      save(current());
      note.value = "";
      refreshAll();
      say("Note added.");
    });
    live = make("span", { className: "rb-live" });
    live.setAttribute("role", "status");
    bar = make("section", { className: "rb-bar", hidden: true }, told, form, make("span", { className: "rb-bar-do" },
      button("Copy timeline", async () => {
        say((await rb.copy(timeline(current()))) ? "Copied." : "This browser does not let the page copy.");
      }),
      button("Download", () => {
        const address = URL.createObjectURL(new Blob([timeline(current())], { type: "text/markdown" }));
        make("a", { href: address, download: `timeline-${current().replace(/\W+/g, "-")}.md` }).click();
        setTimeout(() => URL.revokeObjectURL(address), 1000);
      }),
      button("Reset", () => {
        if (!confirm(`Forget all ticks and notes of “${nameOf(current())}”?`)) return;
        Object.assign(rb.page.ticks.get(current()), { ticks: {}, notes: [], dropped: false });
        save(current());
        refreshAll();
      })), live);
    bar.told = told;
    (document.querySelector(".md-content__inner") || rb.page.box.parentElement).append(bar);
  }
  function tell() {
    const of = rb.page.current, state = rb.page.ticks.get(of);
    const all = state ? entries(of) : [];
    bar.hidden = !all.length && !state?.dropped;
    if (bar.hidden) return;
    bar.setAttribute("aria-label", `Progress of ${nameOf(of)}`);
    const done = Object.keys(state.ticks).length, started = all.length ? ` · started ${all[0][0].slice(11, 16)} UTC` : "";
    bar.told.replaceChildren(make("strong", {}, nameOf(of)), state.dropped
      ? " · the ticks for an older text were dropped" : ` · ${done} of ${rb.blocksOf(of).length} done${started}`);
  }

  const used = (of) => entries(of).length > 0 || Boolean(rb.page.ticks.get(of).dropped);
  function newest() {
    const last = (of) => entries(of).at(-1)?.[0] || "";
    const all = [...rb.page.ticks.keys()].filter(used);
    return all.length ? all.reduce((one, other) => (last(other) > last(one) ? other : one)) : null;
  }

  // The procedure one is in: the last one whose first block or heading is above the middle of the window. When nothing
  // is done there yet, the one that was worked on last: its timeline stays at hand wherever one reads or tabs.
  function look() {
    if (!rb.page?.ticks?.size || bar.contains(document.activeElement)) return;
    const middle = window.innerHeight * 0.6;
    let found = rb.page.ticks.keys().next().value;
    for (const of of rb.page.ticks.keys()) {
      const start = headingOf(of) || rb.blocksOf(of)[0];
      if (start && start.getBoundingClientRect().top < middle) found = of;
    }
    found = used(found) ? found : newest() || found;
    if (found !== rb.page.current) {
      rb.page.current = found;
      live.textContent = "";
      tell();
    }
  }
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting || !rb.page) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; look(); });
  }, { passive: true });

  rb.onPage((page) => {
    page.refreshers = [];
    page.ticks = new Map();
    for (const one of page.box.dataset.rbTexts.split(" ").filter(Boolean)) {
      const [of, digest] = one.split(":");
      if (rb.blocksOf(of).length) page.ticks.set(of, load(of, digest));
    }
    page.current = page.ticks.keys().next().value;
    makeBar();
    page.blocks.forEach(addTick);
    refreshAll();
    look();
  });
  rb.begin();
})();
