// Puts the part of a page that may change in its place whenever the server sends it anew. Without this script the page asks for itself again.
"use strict";

const part = document.getElementById("live");
const wire = new EventSource(part.dataset.from);

// Only what is another element now is replaced, so that nobody loses the place where they read, or the button that they are about to press.
function show(html) {
  const sent = [...new DOMParser().parseFromString(html, "text/html").body.children];
  const shown = [...part.children];
  sent.forEach((now, at) => {
    const before = shown[at];
    if (!before) return part.append(now);
    if (before.isEqualNode(now)) return;
    const held = before.contains(document.activeElement) ? document.activeElement.outerHTML : null;
    before.replaceWith(now);
    if (held) [...now.querySelectorAll("a, button")].find((one) => one.outerHTML === held)?.focus({ preventScroll: true });
  });
  shown.slice(sent.length).forEach((gone) => gone.remove());
}

wire.addEventListener("part", (event) => show(JSON.parse(event.data)));
wire.addEventListener("over", () => {
  wire.close();
  location.reload();
});
// A connection that broke is made anew by the browser itself; one that was refused (signed out, too many pages are followed) is not.
wire.addEventListener("error", () => {
  if (wire.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
});
