// The shown texts that are cut off, by an ellipsis or by the box around them, as the start of each.
() =>
  [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest(".visually-hidden, .skip-link"))
    .filter((node) => getComputedStyle(node).overflowX !== "visible" && node.scrollWidth > node.clientWidth + 1)
    .map((node) => `${node.tagName} ${node.className || node.id}: ${node.textContent.trim().slice(0, 60)}`);
