// The shown controls and landmarks that have no name for a screen reader, as the start of their markup.
() => {
  const named = "button, a[href], input:not([type=hidden]), select, textarea, [role=region], nav, section, aside";
  const textOf = (ids) =>
    ids
      .split(" ")
      .map((id) => document.getElementById(id)?.textContent ?? "")
      .join("");
  const nameOf = (node) => {
    const label = [...(node.labels ?? [])].map((one) => one.textContent).join(" ");
    const pointed = textOf(node.getAttribute("aria-labelledby") ?? "");
    return (node.getAttribute("aria-label") || pointed || label || node.textContent || node.title || "").trim();
  };
  return [...document.querySelectorAll(named)]
    .filter((node) => node.checkVisibility({ visibilityProperty: true }) && nameOf(node) === "")
    .map((node) => node.outerHTML.slice(0, 120));
};
