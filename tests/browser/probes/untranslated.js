// What is shown, or read out, and stands outside of « »: a language was made for the test in which every word is within.
// Names, and what the page says to be English, are left out.
() => {
  const isVerbatim = (node) => node.closest("[translate=no], [lang=en], [data-language], .mono, option, textarea, noscript");
  const bare = (text) => {
    let before = null;
    let rest = text;
    while (rest !== before) [before, rest] = [rest, rest.replace(/«[^«»]*»/g, "")];
    return rest;
  };
  const found = [];
  const note = (text, node) => {
    const rest = bare(text ?? "").replaceAll("Proxy", "").trim();
    if (/[^\W\d_]{2,}/.test(rest) && !isVerbatim(node)) found.push(`${node.tagName} ${node.className}: ${text.trim().slice(0, 80)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) note(walker.currentNode.textContent, walker.currentNode.parentElement);
  for (const name of ["aria-label", "placeholder", "title"]) {
    for (const node of document.querySelectorAll(`[${name}]`)) note(node.getAttribute(name), node);
  }
  note(document.title, document.documentElement);
  return found;
};
