// The fields: the box of a page's variables, and those beside the output that tells a placeholder's value.
(() => {
  "use strict";
  const rb = window.runbookChecks;
  const NOT_OURS = new Set(["h", "q"]); // Material's search puts these into an address

  function field(input, of, name) {
    Object.assign(input, { autocomplete: "off", spellcheck: false, autocapitalize: "off" });
    const label = input.parentElement;
    const refresh = () => {
      const value = rb.value(of, name);
      if (document.activeElement !== input) input.value = value;
      label.toggleAttribute("data-rb-secret", rb.isSecret(name, value));
      label.toggleAttribute("data-rb-linked", !of && rb.fromLink(name) !== "");
    };
    const refuse = () => {
      const unsafe = rb.isUnsafe(input.value);
      input.setCustomValidity(unsafe ? "Not used: it holds a line break or a character that is not seen." : "");
      input.setAttribute("aria-invalid", unsafe);
      return unsafe ? (input.reportValidity(), "") : input.value;
    };
    input.addEventListener("input", () => { rb.draft(of, name, refuse()); changed(); });
    input.addEventListener("change", () => { rb.set(of, name, refuse()); changed(); });
    refresh();
    rb.page.fields.push({ name, of, refresh });
  }

  function changed() {
    for (const each of rb.page.fields) each.refresh();
    tell();
    tellProcedures();
    rb.show();
  }

  const own = () => rb.page.fields.filter((each) => !each.of);
  const given = () => own().map(({ name }) => [name, rb.value("", name)]).filter(([, value]) => value);
  function tell() {
    const { box, refused } = rb.page, names = own(), filled = given();
    const linked = names.filter(({ name }) => rb.fromLink(name)).map(({ name }) => name);
    box.querySelector(".rb-vars-told").textContent = names.length ? `${filled.length} of ${names.length} filled in` : "none";
    box.querySelector(".rb-vars-from").textContent = [
      linked.length ? `From the alert's link, so look at them first: ${linked.join(", ")}.` : "",
      refused.length ? `Ignored in the link: ${refused.join(", ")}.` : "",
    ].join(" ").trim();
    box.toggleAttribute("data-rb-filled", filled.length > 0);
    box.querySelectorAll("button").forEach((button) => { button.disabled = !filled.length; });
  }

  // Who arrives at a procedure does not see the box: what the link brought stands below its card.
  function tellProcedures() {
    for (const card of document.querySelectorAll(".rb-card[data-rb-procedure]")) {
      const of = card.dataset.rbProcedure, captured = rb.page.captures.get(of);
      const linked = [...rb.namesOf(of)].filter((name) => !captured?.has(name) && rb.fromLink(name)).map((name) =>
        (rb.isSecret(name, rb.fromLink(name)) ? `${name} (not shown)` : `${name} = ${rb.fromLink(name)}`));
      const old = card.nextElementSibling, line = old?.matches(".rb-linked") ? old : document.createElement("p");
      line.className = "rb-linked";
      line.textContent = linked.length ? `From the alert's link: ${linked.join(", ")}. ` : "";
      if (!linked.length) { line.remove(); continue; }
      const change = document.createElement("a");
      change.href = `#${rb.page.box.id}`;
      change.textContent = "Change it";
      change.addEventListener("click", () => { rb.page.box.open = true; });
      line.append(change);
      card.after(line);
    }
  }

  function takeFromLink(known) {
    const refused = [], here = location.pathname + location.search;
    const fresh = rb.read("sessionStorage", "link") !== here;
    const linked = [];
    for (const [name, value] of new URLSearchParams(location.search)) {
      if (NOT_OURS.has(name)) continue;
      if (!known.has(name)) refused.push(`${name} (no variable of this page)`);
      else if (rb.isUnsafe(value)) refused.push(`${name} (it holds a line break or a character that is not seen)`);
      else {
        linked.push(name);
        if (fresh) rb.keep("sessionStorage", `u:${name}`, value);
      }
    }
    if (location.search && fresh) rb.keep("sessionStorage", "link", here);
    return { refused, linked };
  }

  rb.onPage((page) => {
    const { box } = page, inputs = [...box.querySelectorAll("input[data-rb-name]")];
    page.fields = [];
    const { refused, linked } = takeFromLink(new Set(inputs.map((input) => input.dataset.rbName)));
    page.refused = refused;
    for (const input of inputs) field(input, "", input.dataset.rbName);
    box.querySelector(".rb-fields").prepend( // what the alert brings comes first
      ...inputs.filter((input) => linked.includes(input.dataset.rbName)).map((input) => input.parentElement));
    for (const expected of document.querySelectorAll("[data-rb-captures]")) {
      const of = document.getElementById(expected.dataset.rbExpect)?.dataset.rbOf;
      const place = document.createElement("p");
      place.className = "rb-captures";
      for (const name of expected.dataset.rbCaptures.split(" ")) {
        const label = document.createElement("label"), told = document.createElement("span");
        told.textContent = `<${name}> was`;
        label.append(told, document.createElement("input"));
        place.append(label);
        field(label.lastChild, of, name);
      }
      expected.append(place);
    }
    const said = box.querySelector(".rb-live");
    box.addEventListener("click", async (event) => {
      const what = event.target.dataset.rbDo;
      if (what === "export") {
        const text = given().map(([name, value]) => rb.exported(name, value)).join("\n") + "\n";
        said.textContent = (await rb.copy(text)) ? "Copied." : "This browser does not let the page copy.";
      } else if (what === "forget") {
        own().forEach(({ name }) => rb.set("", name, ""));
        changed();
        said.textContent = "Forgotten.";
      }
    });
    box.hidden = !inputs.length && !refused.length;
    box.open = !location.hash && linked.length + refused.length > 0; // it would push away what the link points at
    changed();
  });

  // A link that stays on this page keeps what the alert's link has brought.
  document.addEventListener("click", (event) => {
    const link = rb.page && event.target.closest?.("a[href]");
    if (link && location.search && !link.search && link.origin === location.origin && link.pathname === location.pathname) {
      link.search = location.search;
    }
  }, true);
})();
