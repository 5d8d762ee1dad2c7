"use strict";
(() => {
  // Tooltips: the words are the marks' own accessible labels, so nothing is said twice.
  const REACH = 18;
  const tooltip = document.createElement("div");
  tooltip.id = "tooltip";
  tooltip.setAttribute("role", "status");
  tooltip.hidden = true;
  document.body.append(tooltip);
  let lit = null;

  const nearest = (svg, x, y) => {
    let found = null, least = REACH;
    for (const mark of svg.querySelectorAll('[role="graphics-symbol"][aria-label]')) {
      const box = mark.getBoundingClientRect();
      const distance = Math.hypot(box.x + box.width / 2 - x, box.y + box.height / 2 - y) - Math.min(box.width, box.height) / 2;
      if (distance < least) { least = distance; found = mark; }
    }
    return found;
  };
  const hide = () => { tooltip.hidden = true; lit?.classList.remove("lit"); lit = null; };
  const show = (mark) => {
    if (mark === lit) return;
    hide();
    lit = mark;
    mark.classList.add("lit");
    tooltip.textContent = mark.getAttribute("aria-label");
    tooltip.hidden = false;
    const at = mark.getBoundingClientRect(), own = tooltip.getBoundingClientRect();
    const left = Math.min(Math.max(at.x + at.width / 2 - own.width / 2, 8), document.documentElement.clientWidth - own.width - 8);
    const above = at.y - own.height - 10;
    tooltip.style.left = `${left}px`;
    tooltip.style.top = `${above > 8 ? above : at.bottom + 10}px`;
  };
  for (const type of ["pointermove", "pointerdown"]) {
    document.addEventListener(type, (event) => {
      const svg = event.target.closest?.(".panel svg");
      const mark = svg && nearest(svg, event.clientX, event.clientY);
      mark ? show(mark) : hide();
    });
  }
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Tables: a heading sorts its column, numbers by value, missing ones last.
  const key = (row, index) => {
    const cell = row.cells[index];
    const raw = cell.dataset.value ?? cell.textContent.trim();
    return raw === "" || Number.isNaN(Number(raw)) ? raw : Number(raw);
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const sortable = (table) => {
    [...table.tHead.rows[0].cells].forEach((heading, index) => {
      const button = document.createElement("button");
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const rising = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [key(row, index), row]);
        rows.sort(([a], [b]) => (a === "" || b === "" || rising ? compare(a, b) : compare(b, a)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  };
  const dress = () => document.querySelectorAll("table.sortable").forEach(sortable);
  dress();
  document.addEventListener("replaced", dress);

  // Print shows everything.
  const folded = new Set();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open], .refusals)")) { folded.add(details); details.open = true; }
  });
  addEventListener("afterprint", () => { for (const details of folded) details.open = false; folded.clear(); });
})();
