"use strict";
// Sort a table by the heading that was pressed: numbers as numbers, what is missing always last.
for (const button of document.querySelectorAll("table.board th button.sort")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = heading.closest("table").tBodies[0];
    const rising = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const key = (row) => row.cells[heading.cellIndex].dataset.sort;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const difference = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return rising ? difference : -difference;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
// Say where a table goes on beyond the edge.
for (const part of document.querySelectorAll(".sideways")) {
  const table = part.querySelector(".scroll");
  const look = () => {
    part.classList.toggle("wider", table.scrollWidth > table.clientWidth + 1);
    part.classList.toggle("more", table.scrollLeft + table.clientWidth < table.scrollWidth - 1);
  };
  table.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(table);
}
// Paper cannot be pressed: what is folded is printed open.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
