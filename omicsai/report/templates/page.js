"use strict";
// Sortable, expandable, downloadable tables; the page works without it.
for (const box of document.querySelectorAll(".tablebox")) {
  const table = box.querySelector("table");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const visible = Number(box.dataset.visible);

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const numeric = head.classList.contains("n");
      const key = (row) => row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
        return up ? order : -order;
      });
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.forEach((row, i) => row.classList.toggle("more", i >= visible));
      body.append(...rows);
    });
  });

  box.querySelector(".all")?.addEventListener("click", (event) => {
    const open = box.classList.toggle("open");
    event.target.textContent = open ? "show fewer" : `show all ${body.rows.length}`;
  });

  box.querySelector(".download").addEventListener("click", () => {
    const lines = [table.tHead.rows[0], ...body.rows].map((row) =>
      [...row.cells].map((cell) => cell.textContent.trim()).join("\t"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/tab-separated-values" }));
    link.download = `${box.dataset.name}.tsv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
