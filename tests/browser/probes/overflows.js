// What is wider inside than its frame: the page itself, and the parts of it that scroll.
() => {
  const parts = document.querySelectorAll(".view:not([hidden]), .people, .log, .dialog[open]");
  return [document.documentElement, ...parts]
    .filter((node) => node.scrollWidth > node.clientWidth)
    .map((node) => `${node.className || node.tagName}: ${node.scrollWidth} > ${node.clientWidth}`);
};
