// What a reader fills in: kept in the browser by site, and written into a shell so that it stays what was typed.
(() => {
  "use strict";
  const rb = (window.runbookChecks = { page: null });
  const memory = new Map(); // where the browser keeps nothing, as it may for file://
  const drafts = new Map(); // what is being typed, before its field is left
  const SECRET_NAME = /TOKEN|PASS|PWD|SECRET|KEY|CREDENTIAL|COOKIE|BEARER|AUTHORIZATION/i;
  const SECRET_VALUE = /:\/\/\S*@|(?:password|passwd|token|secret|key)\w*=|^(?:bearer|basic) \S|^eyJ[\w-]+\.[\w-]+\./i;

  rb.read = (kind, key) => {
    try { return window[kind].getItem(rb.page.prefix + key); } catch { return memory.get(kind + key) ?? null; }
  };
  rb.keep = (kind, key, value) => {
    try {
      if (value) window[kind].setItem(rb.page.prefix + key, value);
      else window[kind].removeItem(rb.page.prefix + key);
    } catch { memory.set(kind + key, value || null); }
  };

  rb.isSecret = (name, value) => SECRET_NAME.test(name) || SECRET_VALUE.test(value);
  // Line breaks, and characters that are not seen or turn around what is: a command could be another than it looks.
  rb.isUnsafe = (value) =>
    /(?!\uFE0F)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/u.test(value);

  // A placeholder's value belongs to its procedure, a variable's to the whole site.
  const keyOf = (of, name) => (rb.page.captures.get(of)?.has(name) ? `c:${of}:${name}` : `v:${name}`);
  rb.fromLink = (name) => rb.read("sessionStorage", `u:${name}`) || "";
  rb.value = (of, name) => {
    const key = keyOf(of, name);
    const value = drafts.get(key) ?? ((key[0] === "v" && rb.fromLink(name)) ||
      rb.read("sessionStorage", key) || rb.read("localStorage", key) || "");
    return rb.isUnsafe(value) ? "" : value;
  };
  rb.draft = (of, name, value) => { drafts.set(keyOf(of, name), value); };
  rb.set = (of, name, value) => {
    const key = keyOf(of, name);
    drafts.delete(key);
    const secret = rb.isSecret(name, value);
    rb.keep("sessionStorage", key, secret ? value : "");
    rb.keep("localStorage", key, secret ? "" : value);
    if (key[0] === "v") rb.keep("sessionStorage", `u:${name}`, "");
  };

  rb.quote = (value) => `'${value.replace(/'/g, "'\\''")}'`;
  const QUOTED = {
    b: (value) => (/^[\w@%+:./-]+$/.test(value) ? value : rb.quote(value)),
    q: (value) => value.replace(/[\\"$`]/g, "\\$&").replace(/!/g, "\"'!'\""), // history expansion knows no backslash
    h: (value) => value.replace(/[\\$`]/g, "\\$&"),
  };
  // A secret begins with a blank: shells that are told to leave such a line out of their history.
  rb.exported = (name, value) => `${rb.isSecret(name, value) ? " " : ""}export ${name}=${rb.quote(value)}`;

  rb.usesOf = (written) => (written || "").split(" ").filter(Boolean).map((use) => {
    const [offset, length, rest] = use.split(":");
    return { offset: +offset, length: +length, context: rest[0], name: rest.slice(1) };
  });
  rb.blocksOf = (of) => rb.page.blocks.filter((block) => block.dataset.rbOf === of);
  rb.namesOf = (of) => new Set(rb.blocksOf(of).flatMap(({ dataset }) =>
    [...rb.usesOf(dataset.rbUses), ...rb.usesOf(dataset.rbRunUses)].map(({ name }) => name)));
  // The text with its values; those that cannot stand in it, or should not be seen in it, are exported before it.
  rb.filled = (text, uses, of) => {
    const first = new Map();
    let done = "", at = 0;
    for (const { offset, length, context, name } of uses) {
      const value = rb.value(of, name);
      if (!value) continue;
      if (!QUOTED[context] || rb.isSecret(name, value) || (context === "h" && value.includes("!"))) {
        first.set(name, value);
      } else {
        done += text.slice(at, offset) + QUOTED[context](value);
        at = offset + length;
      }
    }
    return [...[...first].map(([name, value]) => rb.exported(name, value)), done + text.slice(at)].join("\n");
  };

  const parts = [];
  rb.onPage = (part) => parts.push(part);
  function start() {
    const box = document.querySelector(".rb-vars[data-rb-root]");
    if (box && box === rb.page?.box) return;
    rb.page = null;
    if (!box) return;
    rb.page = { box, prefix: `rb:${new URL(box.dataset.rbRoot, location.href).pathname}:`, captures: new Map() };
    rb.page.blocks = [...document.querySelectorAll(".rb-block[data-rb-of]")];
    for (const expected of document.querySelectorAll("[data-rb-captures]")) {
      const of = document.getElementById(expected.dataset.rbExpect)?.dataset.rbOf;
      const names = rb.page.captures.get(of) || rb.page.captures.set(of, new Set()).get(of);
      expected.dataset.rbCaptures.split(" ").forEach((name) => names.add(name));
    }
    for (const part of parts) part(rb.page);
  }
  // Material's instant navigation swaps pages without loading them; where Material itself fails, it tells of none.
  rb.begin = () => {
    window.document$?.subscribe?.(start);
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
    else start();
  };
})();
