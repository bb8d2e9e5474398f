// A table that becomes a list of cards on a telephone.
// data: {columns: [{name, number}], rows: [{id, href, cells: [text | {text, note, tone, link, part}], actions: {id: label}}],
//        remove, cards}
const BIN = "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5";

function fill(cell, value, row, open) {
  const content = value && typeof value === "object" ? value : { text: value };
  let place = cell;
  if (content.tone) {
    place = cell.appendChild(document.createElement("span"));
    place.className = "badge " + content.tone;
  } else if (content.link) {
    place = cell.appendChild(document.createElement("a"));
    place.href = row.href;
    place.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) { event.stopPropagation(); return; }
      event.preventDefault();
      event.stopPropagation();
      open(row.id);
    };
  }
  place.append(content.text ?? "");
  if (content.note) {
    const note = cell.appendChild(document.createElement("div"));
    note.className = "note";
    note.textContent = content.note;
  }
  if (typeof content.part === "number") {
    const bar = cell.appendChild(document.createElement("div"));
    bar.className = "bar" + (content.part >= 1 ? " full" : "");
    bar.appendChild(document.createElement("div")).style.width = `${Math.min(1, content.part) * 100}%`;
  }
}

function deeds(row, act) {
  const name = row.cells.find((cell) => cell && cell.link);
  return Object.entries(row.actions).map(([id, label]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "deed";
    button.textContent = label;
    button.setAttribute("aria-label", name ? `${label}: ${name.text}` : label);
    button.onclick = (event) => { event.stopPropagation(); button.disabled = true; act(`${row.id}/${id}`); };
    return button;
  });
}

function bin(label) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", BIN);
  svg.append(path);
  button.append(svg);
  return button;
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const table = parentElement.querySelector("table");
  table.className = data.cards ? "cards" : "";
  const head = table.tHead.rows[0];
  head.replaceChildren();
  const acting = data.rows.some((row) => Object.keys(row.actions).length);
  const extra = [...(acting ? [{ name: "" }] : []), ...(data.remove ? [{ name: "" }] : [])];
  for (const column of [...data.columns, ...extra]) {
    const cell = head.appendChild(document.createElement("th"));
    cell.textContent = column.name;
    if (column.number) cell.className = "number";
  }
  const open = (id) => setTriggerValue("open", id);
  table.tBodies[0].replaceChildren(...data.rows.map((row) => {
    const line = document.createElement("tr");
    row.cells.forEach((value, index) => {
      const cell = line.insertCell();
      const column = data.columns[index];
      if (column.number) cell.className = "number";
      if (index) cell.dataset.label = column.name;
      fill(cell, value, row, open);
    });
    if (row.href) {
      line.className = "open";
      line.onclick = () => open(row.id);
    }
    if (acting) {
      const cell = line.insertCell();
      cell.className = "deeds";
      cell.append(...deeds(row, (what) => setTriggerValue("act", what)));
    }
    if (data.remove) {
      const cell = line.insertCell();
      cell.className = "bin";
      const button = cell.appendChild(bin(data.remove));
      button.onclick = (event) => { event.stopPropagation(); setTriggerValue("remove", row.id); };
    }
    return line;
  }));
}
