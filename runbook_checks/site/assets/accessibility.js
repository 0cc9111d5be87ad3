// Names for what Material leaves without one: its search dialog, its sections with an index page, its copy buttons' boxes.
(() => {
  "use strict";

  function nameSections() {
    document.querySelector(".md-search[role=dialog]:not([aria-label])")?.setAttribute("aria-label", "Search");
    for (const section of document.querySelectorAll("nav.md-nav[aria-labelledby]")) {
      const label = document.getElementById(section.getAttribute("aria-labelledby"));
      const link = section.closest(".md-nav__item")?.querySelector(".md-nav__link");
      if (label?.textContent.trim() || !link) continue;
      section.removeAttribute("aria-labelledby");
      section.setAttribute("aria-label", link.textContent.trim());
    }
  }

  // A box around one button is no place to navigate to, and neither are the tags of a search result.
  function unmark(root) {
    for (const box of root.querySelectorAll("nav.md-code__nav, nav.md-tags")) box.setAttribute("role", "none");
  }

  const watched = new WeakSet(); // the search stays from page to page, the content does not

  function start() {
    nameSections();
    for (const place of document.querySelectorAll(".md-content, .md-search-result")) {
      unmark(place);
      if (watched.has(place)) continue;
      watched.add(place);
      new MutationObserver(() => unmark(place)).observe(place, { childList: true, subtree: true });
    }
  }

  // Material's instant navigation swaps pages without loading them; from file:// its document$ never speaks.
  if (window.document$ && window.document$.subscribe) window.document$.subscribe(start);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
