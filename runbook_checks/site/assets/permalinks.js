// Old addresses: `#old-id` leads to where the procedure stands now, and `#id?A=1`, as alert links write it, to `?A=1#id`.
(() => {
  "use strict";

  function follow() {
    const [fragment, ...rest] = location.hash.slice(1).split("?");
    const query = rest.join("?");
    let id = fragment;
    try { id = decodeURIComponent(fragment); } catch { /* no encoding: as it is */ }
    if (!id || document.getElementById(location.hash.slice(1))) return;
    const signpost = document.querySelector("[data-rb-moved]");
    const places = new Map(Object.entries(signpost ? JSON.parse(signpost.dataset.rbMoved) : {}));
    const known = document.getElementById(id);
    if (known ? !query : !places.has(id)) return;
    const to = new URL(known ? `#${fragment}` : places.get(id), location.href);
    to.search = [location.search.slice(1), query].filter(Boolean).join("&");
    location.replace(to);
  }

  addEventListener("hashchange", follow);
  // Material's instant navigation swaps pages without loading them; from file:// its document$ never speaks.
  if (window.document$ && window.document$.subscribe) window.document$.subscribe(follow);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", follow);
  else follow();
})();
