// Commands with the values that a reader filled in, as shown and as copied; copied are commands only, no output.
(() => {
  "use strict";
  const rb = window.runbookChecks;
  const originals = new WeakMap();

  const codeOf = (block) => block.querySelector("pre > code");
  const textsOf = (code) => {
    const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), texts = [];
    while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(".linenos")) texts.push(walker.currentNode);
    return texts;
  };
  const textOf = (code) => textsOf(code).map((node) => node.data).join("");
  function original(code) {
    if (!originals.has(code)) {
      originals.set(code, { text: textOf(code), nodes: [...code.childNodes].map((node) => node.cloneNode(true)), shown: "" });
    }
    return originals.get(code);
  }

  function place(texts, offset) {
    for (const node of texts) {
      if (offset <= node.length) return [node, offset];
      offset -= node.length;
    }
    return null;
  }
  function mark(code, offset, length, value, title) {
    const texts = textsOf(code), from = place(texts, offset + 1), to = place(texts, offset + length);
    if (!from || !to) return;
    const range = document.createRange();
    range.setStart(from[0], from[1] - 1);
    range.setEnd(...to);
    const written = range.extractContents();
    const span = document.createElement("span");
    span.className = "rb-value";
    span.title = title;
    span.append(value === null ? written : value);
    range.insertNode(span);
  }
  function show(block) {
    const code = codeOf(block);
    if (!code || !block.dataset.rbUses) return;
    const was = original(code), lead = was.text.match(/^\n*/)[0].length, of = block.dataset.rbOf;
    const filled = rb.usesOf(block.dataset.rbUses)
      .map((use) => ({ ...use, value: rb.value(of, use.name), at: use.offset + lead }))
      .filter((use) => use.value && was.text.slice(use.at, use.at + use.length).includes(use.name));
    const now = JSON.stringify(filled.map((use) => use.value));
    if (now === (was.shown || "[]")) return;
    was.shown = now;
    code.replaceChildren(...was.nodes.map((node) => node.cloneNode(true)));
    for (const { at, length, context, name, value } of filled.reverse()) {
      const secret = rb.isSecret(name, value);
      const kept = secret || context === "k";
      mark(code, at, length, kept ? null : value, secret ? `${name} is filled in, and not shown` : `${name} = ${value}`);
    }
  }
  rb.show = () => rb.page.blocks.forEach(show);

  rb.runnable = (block) => {
    const { rbRun, rbRunUses, rbUses, rbOf } = block.dataset;
    const text = rbRun ?? original(codeOf(block)).text.replace(/^\n+|\n+$/g, "");
    return rb.filled(text, rb.usesOf(rbRun === undefined ? rbUses : rbRunUses), rbOf);
  };
  // A session as it was seen in a terminal: the highlighter tells its prompts and its output from its commands.
  function commands(code) {
    if (!code?.querySelector(".gp")) return "";
    const copy = code.cloneNode(true);
    copy.querySelectorAll(".gp, .go, .gt, .gr, .linenos").forEach((each) => each.remove());
    return copy.textContent.split("\n").filter((line) => line.trim()).join("\n");
  }
  // Before the theme's own button copies: it takes this attribute rather than the text that is shown.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-clipboard-target], .md-clipboard");
    if (!button) return;
    const block = rb.page && button.closest(".rb-block[data-rb-of]");
    const text = block ? rb.runnable(block) : commands(button.closest(".highlight, pre")?.querySelector("code"));
    if (!text) return;
    button.setAttribute("data-clipboard-text", text);
    setTimeout(() => button.removeAttribute("data-clipboard-text"));
  }, true);

  rb.copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // not there on http:// and file://
      const area = document.createElement("textarea"), before = document.activeElement;
      area.value = text;
      area.className = "rb-offscreen";
      document.body.append(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      before?.focus();
      return copied;
    }
  };
  rb.onPage(rb.show);
})();
