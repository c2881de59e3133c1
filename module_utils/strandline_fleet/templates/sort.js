"use strict";
// A click on a column's heading sorts the table by it; another one turns the order round.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  return (cell && (cell.dataset.sort || cell.textContent)).trim();
};
const compare = (one, other) => {
  const [a, b] = [one, other].map((text) => Number(text.replace(/,/g, "").replace(/ .*$/, "")));
  return Number.isNaN(a) || Number.isNaN(b) || one === "" || other === "" ? one.localeCompare(other) : a - b;
};
for (const heading of document.querySelectorAll("table.sortable th")) {
  heading.tabIndex = 0;
  const sort = () => {
    const body = heading.closest("table").tBodies[0];
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const column = heading.cellIndex;
    const rows = [...body.rows].slice(1);
    rows.sort((one, other) => (up ? 1 : -1) * compare(valueOf(one, column), valueOf(other, column)));
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  };
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
