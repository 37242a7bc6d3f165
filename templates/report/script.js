/* SPDX-License-Identifier: 0BSD */
"use strict";
// Everything is on the page without this: it adds pointing, arrow keys and copying.

const within = (low, value, high) => Math.max(low, Math.min(value, high));

// The step that a key asks for, of an index from 0 to last; null: it is another key.
const walked = (key, index, last) => {
  const to = {
    ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1,
    PageDown: index - 10, PageUp: index + 10, Home: 0, End: last,
  }[key];
  return to === undefined ? null : within(0, to, last);
};

const commands = () => {
  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue; // not on pages that a browser does not trust
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
};

const arena = () => {
  const field = document.getElementById("field"), readout = document.getElementById("arena-readout");
  const buffers = [...field.querySelectorAll("path")];
  let chosen = -1;
  for (const buffer of buffers) buffer.querySelector("title").remove(); // the readout says the same
  const choose = (index) => {
    if (chosen >= 0) buffers[chosen].setAttribute("aria-selected", "false");
    chosen = index;
    buffers[chosen].setAttribute("aria-selected", "true");
    field.setAttribute("aria-activedescendant", buffers[chosen].id);
    readout.textContent = buffers[chosen].getAttribute("aria-label");
  };
  field.addEventListener("pointerover", (event) => {
    const index = buffers.indexOf(event.target);
    if (index >= 0) choose(index);
  });
  field.addEventListener("keydown", (event) => {
    const index = walked(event.key, chosen, buffers.length - 1);
    if (index === null) return;
    event.preventDefault();
    choose(index);
  });
  field.addEventListener("focus", () => { if (chosen < 0) choose(0); });
};

const layers = () => {
  const chart = document.getElementById("layers"), readout = document.getElementById("layer-readout");
  const cursor = chart.querySelector(".cursor"), plot = chart.querySelector(".plot");
  const table = document.getElementById("layer-table");
  const titles = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
  const told = (row) => {
    const rest = titles.slice(4).map((title, i) => [title, row[i + 4]]).filter(([, value]) => value !== "–");
    return `layer ${row[0]} · ${row[1]} · ${row[2]} · ${row[3]} · ` + rest.map(([t, v]) => `${t} ${v}`).join(" · ");
  };
  let chosen = -1;
  const choose = (index) => {
    chosen = index;
    const column = plot.clientWidth / rows.length;
    cursor.hidden = false;
    cursor.style.left = `${plot.offsetLeft + index * column}px`;
    cursor.style.width = `${column}px`;
    readout.textContent = told(rows[index]);
    chart.setAttribute("aria-valuenow", index);
    chart.setAttribute("aria-valuetext", readout.textContent);
  };
  chart.addEventListener("pointermove", (event) => {
    const place = plot.getBoundingClientRect();
    if (event.clientX < place.left) return;
    choose(within(0, Math.floor((event.clientX - place.left) / place.width * rows.length), rows.length - 1));
  });
  chart.addEventListener("keydown", (event) => {
    const index = walked(event.key, chosen, rows.length - 1);
    if (index === null) return;
    event.preventDefault();
    choose(index);
  });
  chart.addEventListener("focus", () => { if (chosen < 0) choose(0); });
  addEventListener("resize", () => { if (chosen >= 0) choose(chosen); });
};

// Paper shows what is folded.
const printing = () => {
  const folded = [...document.querySelectorAll("details")].filter((details) => !details.open);
  addEventListener("beforeprint", () => { for (const details of folded) details.open = true; });
  addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
};

commands();
arena();
layers();
printing();
